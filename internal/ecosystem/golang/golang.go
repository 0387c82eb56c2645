package golang

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/module"

	"overland/internal/errs"
	"overland/internal/health"
	"overland/internal/record"
)

// Name is the protocol's name in locks and URLs.
const Name = "go"

// Limits, in bytes; those of the go command where it has them.
const (
	zipLimit  = 500 << 20
	listLimit = 32 << 20 // of the list of files in a module; the longest ones known have 6 MB
	modLimit  = 16 << 20
	textLimit = 16 << 20
	tileLimit = 1 << 20
)

// Protocol is the Go module proxy protocol with one machine's configuration.
// It is safe for concurrent use.
type Protocol struct {
	proxies []string
	db      database
	hasDB   bool
	skip    string        // GONOSUMDB
	getter  record.Getter // nil = hashes are computed and not looked up
	frozen  atomic.Pointer[tree]
	later   atomic.Bool             // Freeze is called when the tree is first needed
	freeze  sync.Mutex              // held meanwhile
	down    health.Memory[struct{}] // the database did not answer
	unzip   unzipper
}

var (
	_ record.Protocol = (*Protocol)(nil)
	_ record.Witness  = (*Protocol)(nil)
	_ record.Glancer  = (*Protocol)(nil)
)

// New returns the protocol with the proxies and the checksum database that e names. Requests to the
// database go through getter, which serves this protocol, so that the proof is kept; nil = the
// database is not asked.
func New(e Env, getter record.Getter) (*Protocol, error) {
	p := &Protocol{proxies: e.proxies(), skip: e.GONOSUMDB, getter: getter}
	var err error
	p.db, p.hasDB, err = e.database()
	return p, err
}

// Name implements record.Protocol.
func (*Protocol) Name() string { return Name }

// Item implements record.Protocol.
func (p *Protocol) Item(r *http.Request) (record.Item, error) {
	if r.Method == http.MethodPost {
		return record.Item{}, errs.Errorf(errs.Invalid, "the module proxy protocol has no POST")
	}
	return p.item(strings.TrimPrefix(r.URL.Path, "/"))
}

// ItemOf implements record.Protocol.
func (p *Protocol) ItemOf(key string) (record.Item, error) { return p.item(key) }

func (p *Protocol) item(key string) (record.Item, error) {
	it := record.Item{Protocol: Name, Key: key, Local: true}
	for _, proxy := range p.proxies {
		it.Fallback = append(it.Fallback, proxy+"/"+key)
	}
	if rest, ok := strings.CutPrefix(key, "sumdb/"); ok {
		db, path, _ := strings.Cut(rest, "/")
		if !p.hasDB || db != p.db.name || !databasePath(path) {
			return it, errs.Errorf(errs.Invalid, "%s is not the checksum database of this machine's GOSUMDB", db)
		}
		it.Mutable = path == "latest" || strings.HasPrefix(path, "lookup/")
		it.Limit = tileLimit
		it.Fallback = append(it.Fallback, p.db.url+"/"+path)
	} else {
		what, err := parse(key)
		if err != nil {
			return it, errs.E(errs.Invalid, err)
		}
		it.Mutable, it.Limit = what.mutable(), what.limit()
	}
	if len(it.Fallback) > 0 {
		it.Upstream, it.Fallback = it.Fallback[0], it.Fallback[1:]
	}
	return it, nil
}

// databasePath reports whether a client of a checksum database asks for path.
func databasePath(path string) bool {
	kind, rest, _ := strings.Cut(path, "/")
	switch kind {
	case "supported", "latest":
		return rest == ""
	case "lookup", "tile":
		return rest != "" && !strings.Contains(rest, "..") && strings.Trim(rest, keyLetters) == ""
	}
	return false
}

const keyLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/!@+"

// request is what is asked of a proxy about a module.
type request struct {
	module  module.Version // Version is "" for the list and the latest
	kind    string         // "list", "latest", "info", "mod", "zip"
	partial bool           // the version is a branch, a commit or another query
}

// parse reads MODULE/@v/list, MODULE/@latest and MODULE/@v/VERSION.info, .mod, .zip.
func parse(key string) (request, error) {
	bad := errs.Errorf(errs.Invalid, "not a request of the module proxy protocol: %.200q", key)
	var r request
	escaped, file, ok := strings.Cut(key, "/@v/")
	if !ok {
		if escaped, ok = strings.CutSuffix(key, "/@latest"); !ok {
			return r, bad
		}
		r.kind = "latest"
	}
	var err error
	if r.module.Path, err = module.UnescapePath(escaped); err != nil {
		return r, err
	}
	switch {
	case r.kind == "latest":
		return r, nil
	case file == "list":
		r.kind = "list"
		return r, nil
	}
	dot := strings.LastIndexByte(file, '.')
	if dot <= 0 {
		return r, bad
	}
	switch r.kind = file[dot+1:]; r.kind {
	case "info", "mod", "zip":
	default:
		return r, bad
	}
	if r.module.Version, err = module.UnescapeVersion(file[:dot]); err != nil {
		return r, err
	}
	r.partial = module.CanonicalVersion(r.module.Version) != r.module.Version
	return r, nil
}

func (r request) mutable() bool { return r.kind == "list" || r.kind == "latest" || r.partial }

func (r request) limit() int64 {
	switch r.kind {
	case "zip":
		return zipLimit
	case "mod":
		return modLimit
	}
	return textLimit
}

// FreezeLater puts Freeze off until the tree is needed: a command that does not ask the database
// does not wait for it. Call it before the protocol serves.
func (p *Protocol) FreezeLater() { p.later.Store(true) }

// head returns the session's tree; nil = none is fixed.
func (p *Protocol) head(ctx context.Context) *tree {
	if p.later.Load() {
		p.freeze.Lock()
		defer p.freeze.Unlock()
		if p.later.Load() && (p.Freeze(ctx) == nil || ctx.Err() == nil) { // else the next one asks again
			p.later.Store(false)
		}
	}
	return p.frozen.Load()
}

// Freeze fixes the session's tree of the checksum database. Call it first in a session, before the
// go command starts. Without a database, or when it cannot be reached, nothing is fixed.
func (p *Protocol) Freeze(ctx context.Context) error {
	if !p.hasDB || p.getter == nil {
		return nil
	}
	it, err := p.item("sumdb/" + p.db.name + "/latest")
	if err != nil {
		return err
	}
	e, blob, err := p.getter.Get(ctx, p, it)
	if err != nil || !e.Exists() {
		return err
	}
	defer blob.Close()
	t, err := readTree(blob)
	if err != nil {
		return err
	}
	p.frozen.Store(&t)
	return nil
}
