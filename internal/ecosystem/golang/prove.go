package golang

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/record"
)

// Limits for a checksum database that does not answer: a build that cannot reach it
// must not wait for each module.
const (
	lookupPatience = 30 * time.Second // for one lookup with its tiles
	lookupDowntime = time.Minute      // how long a database that did not answer is left alone
)

// AskAhead implements record.Witness: it looks a module up while its bytes are on their way.
func (p *Protocol) AskAhead(ctx context.Context, it record.Item) {
	r, err := parse(it.Key)
	if err != nil || r.kind != "zip" && r.kind != "mod" || r.partial {
		return
	}
	_, _ = p.inTree(ctx, r.module.Path, r.module.Version, "") // Witness repeats this from what is held, and compares
}

// inTree reports whether the checksum database has the hash h; errs.Untrusted when it has another
// one, or says what it did not sign. When it cannot be reached, or is not asked for this module
// (GONOSUMDB), the answer is no: the lock then says that this proof is missing, and the go command
// goes on only when its go.sum has the hash.
//
// Each lookup has a client of its own. So its requests depend only on the session's tree, not on
// earlier lookups, and a lock can answer them; and nothing of it stays in the memory of a service.
func (p *Protocol) inTree(ctx context.Context, path, version, h string) (bool, error) {
	if !p.hasDB || p.db.key == "" || p.getter == nil || p.down.Has(struct{}{}) {
		return false, nil
	}
	own, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	r := &remote{ctx: own, p: p}
	client := sumdb.NewClient(r)
	client.SetGONOSUMDB(p.skip)
	lines, err := client.Lookup(path, version)
	switch {
	case err == nil:
	case errors.Is(err, sumdb.ErrGONOSUMDB), r.failed.Load():
		if r.silent.Load() && ctx.Err() == nil {
			p.down.Set(struct{}{}, lookupDowntime)
		}
		return false, nil
	default: // everything arrived, and is wrong
		return false, errs.E(errs.Untrusted, fmt.Errorf("checksum database: %w", err))
	}
	for _, line := range lines {
		if got, ok := strings.CutPrefix(line, path+" "+version+" h1:"); ok {
			if "h1:"+got != h {
				return false, errs.Errorf(errs.Untrusted, "%s %s is %s: the checksum database has h1:%s", path, version, h, got)
			}
			return true, nil
		}
	}
	return false, nil
}

// remote is what one lookup in the checksum database needs.
type remote struct {
	ctx    context.Context
	p      *Protocol
	failed atomic.Bool // a needed answer did not arrive
	silent atomic.Bool // because the database did not answer
}

// ReadRemote implements sumdb.ClientOps.
func (r *remote) ReadRemote(path string) ([]byte, error) {
	b, err := r.read(path)
	if err == nil {
		return b, nil
	}
	// A database that has completed a tile may have its first part no more; the
	// client asks for the whole then.
	if part := strings.Contains(path, ".p/") && errs.KindOf(err) == errs.NotFound; !part {
		r.failed.Store(true)
		if miss := (*record.MissError)(nil); !errors.As(err, &miss) && errs.KindOf(err) != errs.NotFound {
			r.silent.Store(true)
		}
	}
	return nil, err
}

func (r *remote) read(path string) ([]byte, error) {
	it, err := r.p.item("sumdb/" + r.p.db.name + path)
	if err != nil {
		return nil, err
	}
	b, err := r.get(it)
	if err != nil || !strings.HasPrefix(path, "/lookup/") {
		return b, err
	}
	t := r.p.head(r.ctx)
	if t == nil {
		return b, nil
	}
	if id, rec, _, err := parseLookup(b); err == nil && id < t.size {
		return append(bytes.Clone(rec), t.note...), nil
	}
	return b, nil
}

func (r *remote) get(it record.Item) ([]byte, error) {
	e, blob, err := r.p.getter.Get(r.ctx, r.p, it)
	if err != nil {
		return nil, err
	}
	if !e.Exists() {
		return nil, errs.Errorf(errs.NotFound, "%s: not found", it.Key)
	}
	defer blob.Close()
	return fsx.Read(blob, it.Key, tileLimit)
}

// ReadConfig implements sumdb.ClientOps: a client knows the database's key and no tree yet.
func (r *remote) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(r.p.db.key), nil
	}
	return nil, nil
}

// WriteConfig implements sumdb.ClientOps.
func (*remote) WriteConfig(string, []byte, []byte) error { return nil }

// ReadCache implements sumdb.ClientOps.
func (*remote) ReadCache(file string) ([]byte, error) {
	return nil, errs.Errorf(errs.NotFound, "%s: nothing is cached", file)
}

// WriteCache implements sumdb.ClientOps.
func (*remote) WriteCache(string, []byte) {}

// Log implements sumdb.ClientOps; what it says is in the errors too.
func (*remote) Log(string) {}

// SecurityError implements sumdb.ClientOps; Lookup fails then.
func (*remote) SecurityError(string) {}
