package record

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/store"
)

// Replayer is the Getter that knows only a lock and its blobs. It is safe for concurrent use.
type Replayer struct {
	// Verified is told of each entry that Verify has read, and with proved of each whose proof it has
	// computed again, also when that failed; nil = nobody.
	Verified func(e lockfile.Entry, proved bool)

	blobs store.Opener
	lock  *lockfile.Lock

	mu     sync.Mutex
	used   map[name]lockfile.Entry
	missed map[name]error
}

// NewReplayer returns a Replayer of l, whose bytes are in b.
func NewReplayer(b store.Opener, l *lockfile.Lock) *Replayer {
	return &Replayer{blobs: b, lock: l, used: map[name]lockfile.Entry{}, missed: map[name]error{}}
}

// Get implements Getter. For what was never recorded it returns a *MissError at once.
func (r *Replayer) Get(ctx context.Context, p Protocol, it Item) (lockfile.Entry, store.Blob, error) {
	e, ok := find(r.lock, it)
	if !ok {
		e, ok = r.elsewhere(ctx, p, it)
	}
	var b store.Blob
	err := miss(it, len(r.lock.Variants(it.Protocol, it.Key)) > 0)
	if ok {
		b, err = r.get(ctx, it, e)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		n := name{it.Protocol, it.Key, ""}
		if it.Whole {
			n.asked = question(it.Header, nil)
		}
		r.miss(n, err)
		return lockfile.Entry{}, nil, err
	}
	r.used[entryName(e)] = e
	return e, b, nil
}

// elsewhere returns an entry with the content of it under another key.
func (r *Replayer) elsewhere(ctx context.Context, p Protocol, it Item) (lockfile.Entry, bool) {
	i, ok := p.(Lister)
	if !ok {
		return lockfile.Entry{}, false
	}
	d, err := i.Identify(ctx, it, func(ctx context.Context, key string) (io.ReadCloser, error) { return r.open(ctx, it.Protocol, key) })
	if err != nil {
		return lockfile.Entry{}, false
	}
	at := slices.IndexFunc(r.lock.Entries, func(e lockfile.Entry) bool { return e.Protocol == it.Protocol && e.Exists() && e.Blob == d })
	if at < 0 {
		return lockfile.Entry{}, false
	}
	return r.lock.Entries[at], true
}

// get opens the blob of e, the entry that answers it; nil when e says that it does not exist.
func (r *Replayer) get(ctx context.Context, it Item, e lockfile.Entry) (store.Blob, error) {
	if !e.Exists() {
		return nil, nil
	}
	b, err := r.blobs.Open(ctx, e.Blob)
	if errs.KindOf(err) == errs.Untrusted {
		return nil, err
	}
	if err != nil {
		return nil, errs.Hint(errs.Errorf(errs.Unavailable, "%s %s is locked, but the depot lacks it: %w", it.Protocol, it.Key, err),
			"run it once with a network: overland record -- CMD")
	}
	if b.Size() != e.Size {
		return nil, errors.Join(errs.Errorf(errs.Untrusted, "%s %s: the lock says %d bytes, the blob has %d",
			it.Protocol, it.Key, e.Size, b.Size()), b.Close())
	}
	// Clients check entries with a proof themselves; the rest we verify here, in case the disk has
	// changed it.
	if !e.Lasting() {
		if err := whole(b, e.Blob); err != nil {
			return nil, errors.Join(fmt.Errorf("%s %s: %w", it.Protocol, it.Key, err), b.Close())
		}
	}
	return b, nil
}

// whole reads and rewinds b: errs.Untrusted when it is not blob d.
func whole(b store.Blob, d digest.Digest) error {
	h := digest.New()
	if _, err := io.Copy(h, store.Once(b)); err != nil {
		return err
	}
	if got := h.Digest(); got != d {
		return errs.Errorf(errs.Untrusted, "its bytes are %s: %w", got, digest.ErrMismatch)
	}
	_, err := b.Seek(0, io.SeekStart)
	return err
}

// Inspect reads everything requested so far and adds to Misses what differs from the lock: a client
// that finds a difference says that something is wrong, but not where.
func (r *Replayer) Inspect(ctx context.Context) {
	for _, e := range r.Used().Entries {
		if !e.Exists() || ctx.Err() != nil {
			continue
		}
		b, err := r.blobs.Open(ctx, e.Blob)
		if err == nil {
			err = errors.Join(whole(b, e.Blob), b.Close())
		}
		if err != nil {
			r.mu.Lock()
			r.miss(entryName(e), fmt.Errorf("%s %s: %w", e.Protocol, e.Key, err))
			r.mu.Unlock()
		}
	}
}

// open opens what the lock holds of protocol under key, and marks it as used: errs.NotFound when it
// holds nothing.
func (r *Replayer) open(ctx context.Context, protocol, key string) (io.ReadCloser, error) {
	e, ok := r.lock.Find(protocol, key)
	f, err := open(ctx, r.blobs, e, ok, protocol, key)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.used[entryName(e)] = e
	}
	return f, err
}

// missesLimit is how many requests are remembered that could not be answered: the command, which is not believed, may make
// any number, and this memory is not the command's.
const missesLimit = 1000

// miss remembers that n, a request, could not be answered. It needs r.mu.
func (r *Replayer) miss(n name, err error) {
	if _, again := r.missed[n]; again || len(r.missed) < missesLimit {
		r.missed[n] = err
	}
}

// Misses returns the requests that could not be answered, at most 1000, one error for each, sorted by request.
func (r *Replayer) Misses() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return inOrder(r.missed)
}

// Refuse implements Refuser.
func (r *Replayer) Refuse(err *RefusedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.miss(name{err.Protocol, err.Request, "refused"}, err)
}

// Used returns the part of the lock that was requested.
func (r *Replayer) Used() *lockfile.Lock {
	r.mu.Lock()
	defer r.mu.Unlock()
	return lockfile.New(slices.Collect(maps.Values(r.used)))
}

// find returns the entry of l that answers it.
func find(l *lockfile.Lock, it Item) (lockfile.Entry, bool) {
	if !it.Whole {
		return l.Find(it.Protocol, it.Key)
	}
	return pick(l.Variants(it.Protocol, it.Key), it.Header)
}

// entryName returns what the line e is called.
func entryName(e lockfile.Entry) name { return name{e.Protocol, e.Key, string(e.Asked)} }

func compareNames(a, b name) int {
	return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.key, b.key), cmp.Compare(a.asked, b.asked))
}

// inOrder returns the errors of m, sorted by name.
func inOrder(m map[name]error) []error {
	keys := slices.SortedFunc(maps.Keys(m), compareNames)
	list := make([]error, len(keys))
	for i, k := range keys {
		list[i] = m[k]
	}
	return list
}

// Forget clears Misses, for what was requested before the command's first request.
func (r *Replayer) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.missed)
}
