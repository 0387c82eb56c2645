package apt

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"overland/internal/clock"
	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/record"
)

const (
	packageLimit = 8 << 30 // bytes of a package; the largest ones are games' data, 1.5 GB
	pathLimit    = 1024    // bytes of a request's path
	tablesLimit  = 64      // indexes that are remembered, read
	placesLimit  = 1024    // indexes of which is remembered where they are listed
	pastLimit    = 16      // InReleases of the past that may prove what machines with old lists ask for
	readLimit    = 16      // InReleases that are remembered, read: half a MB each
)

// Kinds of proof, from the root to the leaf.
const (
	ProofKey     = "apt-openpgp" // of an InRelease: the fingerprint of the key that signed it
	ProofRelease = "apt-release" // of an index: key and digest of the InRelease that lists it
	ProofIndex   = "apt-index"   // of a package: key and digest of the index that lists it
)

// Options changes how a Protocol works. The zero value works.
type Options struct {
	Dir   string      // apt's configuration, for its trusted keys; "" = /etc/apt
	Clock clock.Clock // to check Valid-Until; nil = the machine's
	// Locked says that dates were checked before, when the content was locked: signatures are
	// verified as of their own date, and Valid-Until is ignored.
	Locked  bool
	History record.History // of the cache that serves the protocol; nil in a session
}

// Protocol is record's protocol for Debian archives. It is safe for concurrent use.
type Protocol struct {
	// Skipped are the URIs of the sources that are not spoken: they are neither http nor https, or apt
	// is told to trust them without a signature.
	Skipped []string

	sources  []Source
	archives map[string]*archive // by name; never changed
	dir      string
	now      clock.Clock
	locked   bool
	history  record.History

	tablesMu sync.Mutex           // held while an index is read: others that wait need it too
	tables   map[string]deb.Index // by the sha256 of the index
	places   map[string]place     // of tables: where an InRelease lists them; with tablesMu

	releasesMu sync.Mutex              // of apart, too
	apart      map[*suite]bool         // those whose signature apt fetches as a file of its own
	releases   map[string]*deb.Release // by the sha256 of the InRelease; never changed
}

var (
	_ record.Protocol = (*Protocol)(nil)
	_ record.Lister   = (*Protocol)(nil)
	_ record.Chooser  = (*Protocol)(nil)
)

// New returns the protocol for the archives that sources name (see MachineSources).
func New(sources []Source, o Options) (*Protocol, error) {
	p := &Protocol{
		sources: sources, dir: o.Dir, now: o.Clock.Or(), locked: o.Locked, history: o.History,
		tables: map[string]deb.Index{}, places: map[string]place{}, releases: map[string]*deb.Release{}, apart: map[*suite]bool{},
	}
	p.dir = cmp.Or(p.dir, etc)
	var err error
	p.archives, p.Skipped, err = archives(sources)
	return p, err
}

// Name implements record.Protocol.
func (p *Protocol) Name() string { return Name }

// Item implements record.Protocol: "/NAME/dists/SUITE/InRelease", an index
// below it, or a file of the archive.
func (p *Protocol) Item(r *http.Request) (record.Item, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.URL.RawQuery != "" {
		return record.Item{}, errs.Errorf(errs.Invalid, "apt: only plain GET requests")
	}
	key, err := cleanPath(r.URL.Path)
	if err != nil {
		return record.Item{}, err
	}
	w, err := p.locate(key)
	if err != nil {
		return record.Item{}, err
	}
	it := record.Item{Protocol: Name, Key: key, Upstream: w.archive.uri.JoinPath(escape(w.rel)).String(), Limit: packageLimit}
	switch base := path.Base(w.rest); {
	case w.suite == nil:
	case w.rest == "InRelease":
		it.Mutable, it.Limit = true, deb.ReleaseLimit
	case w.rest == "Release", w.rest == "Release.gpg":
		return it, errs.Hint(errs.Errorf(errs.Invalid, "apt: %s: only archives with an InRelease are recorded", key),
			"choose a mirror that has %s/InRelease", w.suite.dir)
	case strings.Contains(w.rest, ".diff/"):
		return it, errs.Errorf(errs.Invalid, "apt: %s: pdiffs are not recorded: whole indexes are", key)
	case strings.Contains(w.rest, "by-hash/"):
		if _, _, ok := deb.ByHash(w.rest); !ok {
			return it, errs.Errorf(errs.Invalid, "apt: %s: not by SHA256 or SHA512", key)
		}
		it.Limit, it.Unpacked = deb.IndexLimit, r.Header.Get(UnpackedHeader) != ""
	case !w.suite.flat || strings.HasPrefix(base, "Packages") || strings.HasPrefix(base, "Sources"):
		it.Mutable, it.Limit, it.Unpacked = true, deb.IndexLimit, r.Header.Get(UnpackedHeader) != ""
	}
	return it, nil
}

// ItemOf implements record.Protocol.
func (p *Protocol) ItemOf(key string) (record.Item, error) { return record.ByPath(p, key) }

// Serve implements record.Protocol: the bytes as they are, or what is packed in them.
func (p *Protocol) Serve(it record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	if it.Unpacked {
		return &unpacking{p: p, entry: e, packed: body}, "text/plain", nil
	}
	return body, e.MediaType, nil
}

// where is a key taken apart.
type where struct {
	archive *archive
	rel     string // below the archive
	suite   *suite // nil in the pool
	rest    string // below the suite's directory
}

func (p *Protocol) locate(key string) (where, error) {
	name, rel, _ := strings.Cut(key, "/")
	a := p.archives[name]
	if a == nil || rel == "" {
		return where{}, errs.Hint(errs.Errorf(errs.Invalid, "apt: %.100s: no source of this machine is called %.100s", key, name),
			"add it to apt's sources; only those are recorded")
	}
	w := where{archive: a, rel: rel}
	w.suite, w.rest = a.suiteOf(rel)
	below, isDist := strings.CutPrefix(rel, "dists/")
	if name, rest, ok := strings.Cut(below, "/"); w.suite == nil && isDist && ok && p.history == nil {
		// A root file system of another suite than the machine's, in a session: a cache serves what it is set up for.
		w.suite, w.rest = a.other(name), rest
	}
	if w.suite == nil && isDist {
		return where{}, errs.Hint(errs.Errorf(errs.Invalid, "apt: %.100s: no source of this machine names that suite", key),
			"add it to apt's sources; only those are recorded")
	}
	return w, nil
}

// cleanPath returns the request path s as a key. Elements "." are left out (flat archives have
// them); ".." and what cannot be the name of a file are errs.Invalid.
func cleanPath(s string) (string, error) {
	bad := func() (string, error) { return "", errs.Errorf(errs.Invalid, "apt: bad path %.100q", s) }
	if len(s) > pathLimit || !utf8.ValidString(s) || strings.HasSuffix(s, "/") {
		return bad()
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == '\\' {
			return bad()
		}
	}
	elements := strings.Split(strings.TrimLeft(s, "/"), "/")
	if slices.Contains(elements, "..") {
		return bad()
	}
	elements = slices.DeleteFunc(elements, func(e string) bool { return e == "" || e == "." })
	if len(elements) == 0 {
		return bad()
	}
	return strings.Join(elements, "/"), nil
}

// escape returns rel as a part of a URL: JoinPath takes a path that is escaped already.
func escape(rel string) string { return (&url.URL{Path: "/" + rel}).EscapedPath() }

// read returns what have holds under key, at most limit bytes.
func read(ctx context.Context, have record.Lookup, key string, limit int64) ([]byte, error) {
	f, err := have(ctx, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fsx.Read(f, key, limit)
}
