package apk

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"overland/internal/alpine"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Name is the protocol's.
const Name = "apk"

const (
	packageLimit = 8 << 30 // bytes of a package
	pathLimit    = 1024    // bytes of a request's path
	tablesLimit  = 16      // indexes that are remembered, read
	pastLimit    = 16      // indexes of the past that may prove what machines with old ones ask for
)

// Kinds of proof, from the root to the leaf.
const (
	ProofKey   = "apk-rsa"   // of an index: name and sha256 of the key that signed it
	ProofIndex = "apk-index" // of a package: key and digest of the index that lists it
)

// Protocol is record's protocol for Alpine repositories. It is safe for concurrent use.
type Protocol struct {
	history record.History   // nil in a session
	bases   map[string]*base // by name; never changed

	tablesMu sync.Mutex               // held while an index is read: others that wait need it too
	tables   map[string]*alpine.Index // by the sha256 of the file
}

var _ record.Protocol = (*Protocol)(nil)

// New returns the protocol for repositories. history is of the cache
// that serves it; nil in a session.
func New(repositories []Repository, history record.History) (*Protocol, error) {
	named, err := bases(repositories)
	return &Protocol{history: history, bases: named, tables: map[string]*alpine.Index{}}, err
}

// Name implements record.Protocol.
func (p *Protocol) Name() string { return Name }

// Item implements record.Protocol: "/NAME/ARCH/FILE", or "/HOST/PATH/ARCH/FILE" of any mirror,
// where FILE is an index or a package.
func (p *Protocol) Item(r *http.Request) (record.Item, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.RawQuery != "" {
		return record.Item{}, errs.Errorf(errs.Invalid, "apk: only plain GET requests")
	}
	key, err := cleanPath(r.URL.Path)
	if err != nil {
		return record.Item{}, err
	}
	first, rest, _ := strings.Cut(key, "/")
	if below := p.Below(&url.URL{Host: first, Path: "/" + rest}); below != "" {
		key = strings.TrimPrefix(below, "/")
	} else if p.bases[first] == nil {
		return record.Item{}, errs.Hint(errs.Errorf(errs.Invalid, "apk: %.100s: not in a repository that is configured here", key),
			"add it to /etc/apk/repositories; only those are recorded")
	}
	b, rel, err := p.locate(key)
	if err != nil {
		return record.Item{}, err
	}
	it := record.Item{
		Protocol: Name, Key: key, Upstream: b.uri.JoinPath((&url.URL{Path: "/" + rel}).EscapedPath()).String(), Limit: packageLimit,
	}
	if path.Base(rel) == alpine.IndexName {
		it.Mutable, it.Limit = true, alpine.IndexLimit
	}
	return it, nil
}

// ItemOf implements record.Protocol.
func (p *Protocol) ItemOf(key string) (record.Item, error) { return record.ByPath(p, key) }

// Serve implements record.Protocol: the bytes as they are.
func (p *Protocol) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, e.MediaType, nil
}

// addresses returns the URL of each repository, the longest first, with a protocol
// whose requests have paths below it.
func (p *Protocol) addresses() (list []tool.Address) {
	byLength := func(a, b *base) int { return cmp.Or(len(b.uri.Path)-len(a.uri.Path), strings.Compare(a.name, b.name)) }
	for _, b := range slices.SortedFunc(maps.Values(p.bases), byLength) {
		list = append(list, tool.Address{Base: b.uri.String(), Protocol: repository{p, b.name}})
	}
	return list
}

// repository is one of the Protocol's: the paths of its requests are without its name.
type repository struct {
	*Protocol
	name string
}

// Item implements record.Protocol.
func (p repository) Item(r *http.Request) (record.Item, error) {
	named := r.WithContext(r.Context())
	named.URL = &url.URL{Path: "/" + p.name + r.URL.Path, RawQuery: r.URL.RawQuery}
	return p.Protocol.Item(named)
}

// Below returns what u, the whole URL of an index or a package, is below this protocol's mount:
// "/NAME/ARCH/FILE". A mirror that no repository names will do when the path tells which it is. ""
// means that it is of no repository.
func (p *Protocol) Below(u *url.URL) string {
	if !isFile(u.Path) {
		return ""
	}
	for _, sameHost := range []bool{true, false} {
		var best *base
		several := false
		for _, b := range p.bases {
			at := b.path()
			if !strings.HasPrefix(u.Path, at) || sameHost != (b.uri.Host == u.Host) || !sameHost && at == "/" {
				continue
			}
			if best != nil && len(at) <= len(best.path()) {
				several = several || len(at) == len(best.path())
				continue
			}
			best, several = b, false
		}
		if best != nil && !several {
			return "/" + best.name + "/" + strings.TrimPrefix(u.Path, best.path())
		}
	}
	return ""
}

// isFile reports whether name can be that of an index or a package in a folder.
func isFile(name string) bool {
	dir, file := path.Split(name)
	return len(dir) > 1 && (file == alpine.IndexName || strings.HasSuffix(file, ".apk"))
}

// locate takes a key apart.
func (p *Protocol) locate(key string) (*base, string, error) {
	name, rel, _ := strings.Cut(key, "/")
	b := p.bases[name]
	if b == nil || !isFile(rel) {
		return nil, "", errs.Errorf(errs.Invalid, "apk: %.100s: neither an index nor a package of a repository that is configured here", key)
	}
	return b, rel, nil
}

// cleanPath returns the request path s without a slash at its ends; what cannot be the
// path of a file is errs.Invalid.
func cleanPath(s string) (string, error) {
	elements := strings.Split(strings.TrimLeft(s, "/"), "/")
	bad := func(e string) bool { return e == "" || e == "." || e == ".." }
	if len(s) > pathLimit || !utf8.ValidString(s) || slices.ContainsFunc(elements, bad) ||
		strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return "", errs.Errorf(errs.Invalid, "apk: bad path %.100q", s)
	}
	return strings.Join(elements, "/"), nil
}
