package pypi

import (
	"net/url"
	"regexp"
	"strings"

	"overland/internal/errs"
)

const (
	nameLimit = 214 // bytes of a project's name
	fileLimit = 255 // bytes of a file's name
)

var (
	namePart = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	filePart = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+!~-]*$`)
	dashes   = regexp.MustCompile(`[-_.]+`)
)

// archives are the endings of what pip takes for an archive.
var archives = []string{
	".whl", ".tar.gz", ".zip", ".tar.bz2", ".tgz", ".tbz", ".tar.xz", ".txz", ".tar", ".tlz", ".tar.lz", ".tar.lzma", ".egg",
}

// metadataMark ends the name of a wheel's metadata.
const metadataMark = ".metadata"

// normalize returns name as indexes compare it (PEP 503).
func normalize(name string) string { return strings.ToLower(dashes.ReplaceAllString(name, "-")) }

// request is what a key, or the path of a request, asks for.
type request struct {
	Project  string // normalized
	HTML     bool   // of a project: in HTML
	File     string // "" = the project
	Metadata bool   // of File
}

// parsePath takes a path below the mount, unescaped, apart: "/simple/NAME/" or "/files/NAME/FILE".
func parsePath(path string) (request, error) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var r request
	var ok bool
	switch {
	case parts[0] == "simple" && (len(parts) == 2 || len(parts) == 3 && parts[2] == ""):
		r, ok = request{Project: normalize(parts[1])}, validName(parts[1])
	case parts[0] == "files" && len(parts) == 3:
		r.Project = normalize(parts[1])
		r.File, r.Metadata = strings.CutSuffix(parts[2], metadataMark)
		ok = validName(parts[1]) && isArchive(r.File)
	}
	if !ok {
		return request{}, errs.Errorf(errs.Invalid, "pypi: %.200q is neither a project nor a file of one", path)
	}
	return r, nil
}

// htmlMark ends the key of a project in HTML.
const htmlMark = "#html"

// key returns the name of r in a lock.
func (r request) key() string {
	switch {
	case r.Metadata:
		return r.Project + "/" + r.File + metadataMark
	case r.File != "":
		return r.Project + "/" + r.File
	case r.HTML:
		return r.Project + htmlMark
	}
	return r.Project
}

// parseKey is the inverse of key.
func parseKey(key string) (request, error) {
	name, file, ok := strings.Cut(key, "/")
	if ok {
		return parsePath("/files/" + name + "/" + file)
	}
	name, html := strings.CutSuffix(name, htmlMark)
	r, err := parsePath("/simple/" + name + "/")
	r.HTML = html
	return r, err
}

func validName(s string) bool { return len(s) <= nameLimit && namePart.MatchString(s) }

// isArchive reports whether s can be the name of an archive.
func isArchive(s string) bool {
	if len(s) > fileLimit || !filePart.MatchString(s) {
		return false
	}
	for _, end := range archives {
		if strings.HasSuffix(strings.ToLower(s), end) {
			return true
		}
	}
	return false
}

// fileOf returns the name of the archive at address, the last segment of its path as pip reads it;
// "" when that is not an archive.
func fileOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Opaque != "" {
		return ""
	}
	name := u.Path[strings.LastIndexByte(u.Path, '/')+1:]
	if !isArchive(name) {
		return ""
	}
	return name
}
