package cargo

import (
	"regexp"
	"strings"

	"overland/internal/errs"
)

var (
	namePart    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$`)
	versionPart = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]{0,127}$`)
)

const (
	configFile = "config.json"
	crateEnd   = ".crate"
)

// request is what a key, or the path of a request, asks for: the configuration when it is empty.
type request struct {
	Name    string // of a crate; of an index file in lower case
	Version string // "" = the index file
}

// parsePath takes a path below the mount, unescaped, apart: "/config.json", "/te/a-/tea-pot", or
// "/crates/NAME/NAME-VERSION.crate", which is the address that Serve gives.
func parsePath(path string) (request, error) {
	path = strings.TrimPrefix(path, "/")
	if path == configFile {
		return request{}, nil
	}
	if key, ok := strings.CutPrefix(path, "crates/"); ok {
		if q, err := parseKey(key); err == nil && q.Version != "" {
			return q, nil
		}
	}
	q := request{Name: path[strings.LastIndexByte(path, '/')+1:]}
	if namePart.MatchString(q.Name) && q.Name == strings.ToLower(q.Name) && path == q.path() {
		return q, nil
	}
	return request{}, errs.Errorf(errs.Invalid, "cargo: %.200q is neither an index file nor a crate", path)
}

// key returns the name of q in a lock.
func (q request) key() string {
	switch {
	case q.Name == "":
		return configFile
	case q.Version == "":
		return q.Name
	}
	return q.Name + "/" + q.Name + "-" + q.Version + crateEnd
}

// parseKey is the inverse of key.
func parseKey(key string) (request, error) {
	if key == configFile {
		return request{}, nil
	}
	name, file, ok := strings.Cut(key, "/")
	q := request{Name: name}
	if ok {
		q.Version = strings.TrimSuffix(strings.TrimPrefix(file, name+"-"), crateEnd)
	}
	if !namePart.MatchString(name) || q.key() != key || ok && !versionPart.MatchString(q.Version) || !ok && name != strings.ToLower(name) {
		return request{}, errs.Errorf(errs.Invalid, "cargo: %.200q is neither an index file nor a crate", key)
	}
	return q, nil
}

// path returns where q's index file is below a registry.
func (q request) path() string { return strings.ToLower(prefix(q.Name) + "/" + q.Name) }

// prefix returns the folder of a crate, as registries sort them.
func prefix(name string) string {
	switch len(name) {
	case 1, 2:
		return "12"[len(name)-1 : len(name)]
	case 3:
		return "3/" + name[:1]
	}
	return name[:2] + "/" + name[2:4]
}
