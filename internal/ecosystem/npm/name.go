package npm

import (
	"net/url"
	"regexp"
	"strings"

	"overland/internal/errs"
)

// A package's name has at most 214 characters. Capitals and more are
// in names from before that rule.
const nameLimit = 214

var (
	namePart    = regexp.MustCompile(`^[A-Za-z0-9_~!'()*-][A-Za-z0-9._~!'()*-]*$`)
	versionPart = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,255}$`)
)

// request is what the path of a request asks for.
type request struct {
	Name    string // "tea", "@scope/tea"
	Version string // or a tag; "" = the packument or a tarball
	File    string // "tea-1.0.0.tgz"; "" = a document
}

// parsePath takes a path below the mount, unescaped, apart: "/NAME",
// "/NAME/VERSION" or "/NAME/-/FILE".
func parsePath(path string) (request, error) {
	bad := func() (request, error) {
		if len(path) > nameLimit {
			path = path[:nameLimit] + "…"
		}
		return request{}, errs.Errorf(errs.Invalid, "npm: %q is not a package, a version or a tarball", path)
	}
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	var r request
	if strings.HasPrefix(parts[0], "@") {
		if len(parts) < 2 || !namePart.MatchString(parts[0][1:]) {
			return bad()
		}
		r.Name = parts[0] + "/"
		parts = parts[1:]
	}
	if !namePart.MatchString(parts[0]) || parts[0] == "-" {
		return bad()
	}
	if r.Name += parts[0]; len(r.Name) > nameLimit {
		return bad()
	}
	switch rest := parts[1:]; {
	case len(rest) == 0:
	case len(rest) == 1 && versionPart.MatchString(rest[0]):
		r.Version = rest[0]
	case len(rest) == 2 && rest[0] == "-" && versionPart.MatchString(strings.TrimLeft(rest[1], "_")) && strings.HasSuffix(rest[1], ".tgz"):
		r.File = rest[1]
	default:
		return bad()
	}
	return r, nil
}

// base returns the name without its scope.
func (r request) base() string { return r.Name[strings.Index(r.Name, "/")+1:] }

// scope returns "@scope", or "".
func (r request) scope() string {
	scope, _, ok := strings.Cut(r.Name, "/")
	if !ok {
		return ""
	}
	return scope
}

// fileVersion returns the version that the name of a tarball says; "" when it says none.
func (r request) fileVersion() string {
	v, ok := strings.CutPrefix(strings.TrimSuffix(r.File, ".tgz"), r.base()+"-")
	if !ok || !versionPart.MatchString(v) {
		return ""
	}
	return v
}

// path returns r as a part of a URL, as npm writes it: the slash in a
// scoped name is escaped in documents.
func (r request) path() string {
	name := url.PathEscape(r.Name)
	if scope := r.scope(); scope != "" {
		name = scope + "%2f" + url.PathEscape(r.base())
	}
	switch {
	case r.File != "":
		return r.Name + "/-/" + url.PathEscape(r.File)
	case r.Version != "":
		return name + "/" + url.PathEscape(r.Version)
	}
	return name
}
