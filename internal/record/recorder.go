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
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/flight"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/store"
)

// noTime stands for an unknown modification time: no Last-Modified is sent.
var noTime time.Time

// Options changes how a Recorder works. The zero value works.
type Options struct {
	Upstream *origin.Client // how things are fetched; nil = the defaults
	Lock     *lockfile.Lock // what is already locked: it is served unchanged and never replaced; nil = nothing
	// Note is called with each entry that has a proof, and so never changes, as soon as its blob is
	// in the store: for Resume. It may be called by several goroutines. nil = not called.
	Note func(lockfile.Entry)
}

// Depot is where a Recorder keeps bytes.
type Depot interface {
	store.Blobs
	store.Stager
}

// Recorder is the Getter that fetches, checks, stores and remembers. It is safe for concurrent use.
type Recorder struct {
	store Depot
	up    *origin.Client
	lock  *lockfile.Lock
	note  func(lockfile.Entry)
	calls flight.Group[name, lockfile.Entry]

	mu    sync.Mutex
	have  map[name]lockfile.Entry
	noted map[name]lockfile.Entry
	wrong map[name]error
	early map[digest.Digest]*Arrival // clients already have them; on their way to the disk

	secrets map[name]map[digest.Digest]bool // digests of the secrets with which a name was requested

	less sync.Cond // of mu: early has shrunk
	lost error     // the first error of those that did not get there
}

type name struct{ protocol, key string }

// NewRecorder returns a Recorder that keeps bytes in s.
func NewRecorder(s Depot, o Options) *Recorder {
	r := &Recorder{
		store: s, up: o.Upstream, lock: o.Lock, note: o.Note,
		have: map[name]lockfile.Entry{}, noted: map[name]lockfile.Entry{}, wrong: map[name]error{},
		early: map[digest.Digest]*Arrival{}, secrets: map[name]map[digest.Digest]bool{},
	}
	r.less.L = &r.mu
	r.up = cmp.Or(r.up, &origin.Client{})
	r.lock = cmp.Or(r.lock, &lockfile.Lock{})
	return r
}

// Get implements Getter.
func (r *Recorder) Get(ctx context.Context, p Protocol, it Item) (lockfile.Entry, store.Blob, error) {
	e, err := r.entry(ctx, p, it)
	if err != nil || !e.Exists() {
		return e, nil, err
	}
	b, err := r.Open(ctx, e.Blob)
	return e, b, err
}

// Open opens blob d, even while it is on its way to the disk.
func (r *Recorder) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	r.mu.Lock()
	if g := r.early[d]; g != nil {
		defer r.mu.Unlock() // its file is closed once it has left early
		return g.Open()
	}
	r.mu.Unlock()
	return r.store.Open(ctx, d)
}

// entry returns the entry of it; Open can then open its blob.
func (r *Recorder) entry(ctx context.Context, p Protocol, it Item) (lockfile.Entry, error) {
	n := name{it.Protocol, it.Key}
	e, ok := r.held(n)
	var err error
	if !ok {
		e, err = Join(ctx, &r.calls, n, func(ctx context.Context, c *flight.Call[lockfile.Entry]) (lockfile.Entry, error) {
			if e, ok := r.held(n); ok { // since the caller looked
				return e, nil
			}
			r.noteSecrets(n, it.Secrets)
			e, err := r.acquire(ctx, c, p, it)
			if err != nil {
				r.fail(ctx, n, err)
			}
			return e, err
		}).Wait(ctx)
	}
	if err == nil {
		err = r.sameWith(ctx, p, it, e)
	}
	return e, err
}

func (r *Recorder) held(n name) (lockfile.Entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.have[n]
	return e, ok
}

// publish makes e available and delivers it to the waiters of c.
func (r *Recorder) publish(c *flight.Call[lockfile.Entry], n name, e lockfile.Entry) {
	r.mu.Lock()
	r.have[n] = e
	delete(r.wrong, n)
	r.mu.Unlock()
	c.Deliver(e, nil)
}

// fail notes that n could not be fetched, unless that is because nobody waits for it any more.
func (r *Recorder) fail(ctx context.Context, n name, err error) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.have[n]; !ok {
		r.wrong[n] = err
	}
}

// errNoted means that an earlier recording has the item: nothing is fetched.
var errNoted = errors.New("noted by an earlier recording")

// acquire returns the entry of it: the locked one if the store has its blob,
// else what upstream has, checked.
func (r *Recorder) acquire(ctx context.Context, c *flight.Call[lockfile.Entry], p Protocol, it Item) (e lockfile.Entry, err error) {
	n := name{it.Protocol, it.Key}
	q := &Acquisition{Protocol: p, Item: it, Have: r.lookup(it.Protocol), Store: r.store, Late: true}
	held := func(e lockfile.Entry) (lockfile.Entry, error) {
		r.publish(c, n, e)
		if e.Exists() {
			ReadAhead(ctx, p, it, q.Have)
		}
		return e, nil
	}
	locked, isLocked := r.lock.Find(it.Protocol, it.Key)
	if isLocked {
		if !locked.Exists() || r.holds(ctx, locked.Blob) {
			return held(locked)
		}
		q.Locked = &locked
	}
	r.mu.Lock()
	noted, isNoted := r.noted[n]
	r.mu.Unlock()
	isNoted = isNoted && !isLocked && !it.Mutable
	q.Get = func(ctx context.Context, ask origin.Request) (*origin.Answer, error) {
		// Not earlier: finding the address has recorded the index that proves it.
		if isNoted && r.holds(ctx, noted.Blob) {
			return nil, errNoted
		}
		return r.up.Get(ctx, Share(ask, c))
	}
	q.Keep = func(ctx context.Context, in *Arrival) error {
		err := r.take(ctx, c, n, in)
		e = in.Entry
		return err
	}
	err = q.Fetch(ctx)
	status, changed := (*origin.StatusError)(nil), (*ChangedError)(nil)
	switch {
	case err == nil:
		return e, nil
	case errors.Is(err, errNoted):
		return held(noted)
	case errors.As(err, &status) && lockfile.IsFact(status.Status):
		if isLocked {
			return lockfile.Entry{}, errs.Hint(errs.E(errs.Conflict, fmt.Errorf("%s %s is locked, the depot lacks it, and upstream no longer has it: %w",
				it.Protocol, it.Key, err)), "copy blob %s from a depot that has it", locked.Blob)
		}
		// Mutable: it may exist tomorrow.
		return held(lockfile.Entry{Protocol: it.Protocol, Key: it.Key, Status: status.Status, Mutable: true})
	case errors.As(err, &changed):
		return lockfile.Entry{}, errs.Hint(err, "nothing was replaced; overland lock update shows what would move")
	}
	return lockfile.Entry{}, fmt.Errorf("record %w", err)
}

// holds reports whether the store has blob d intact. A blob that the disk has changed is removed,
// so that it is fetched again and must be the same.
func (r *Recorder) holds(ctx context.Context, d digest.Digest) bool {
	err := store.Verify(ctx, r.store, d)
	if errors.Is(err, digest.ErrMismatch) {
		_ = r.store.Remove(ctx, d) // else the right bytes would be taken for present
	}
	return err == nil
}

// Resume takes entries from l, which an earlier Recorder's Note was called with: they are not
// fetched again as long as the store has their blobs.
func (r *Recorder) Resume(l *lockfile.Lock) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range l.Entries {
		if e.Lasting() {
			r.noted[name{e.Protocol, e.Key}] = e
		}
	}
}

// lookup returns a Lookup of what this session, or the lock with the store, holds for protocol.
func (r *Recorder) lookup(protocol string) Lookup {
	return func(ctx context.Context, key string) (io.ReadCloser, error) {
		r.mu.Lock()
		e, ok := r.have[name{protocol, key}]
		r.mu.Unlock()
		if !ok {
			e, ok = r.lock.Find(protocol, key)
		}
		return open(ctx, r, e, ok, protocol, key)
	}
}

func open(ctx context.Context, s store.Opener, e lockfile.Entry, ok bool, protocol, key string) (io.ReadCloser, error) {
	if !ok || !e.Exists() {
		return nil, errs.Errorf(errs.NotFound, "%s %s is not held", protocol, key)
	}
	return s.Open(ctx, e.Blob)
}

// Lock returns what was locked before, together with everything requested since that is stored.
func (r *Recorder) Lock() *lockfile.Lock {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waitForDisk() // afterwards, have lacks what could not be stored
	entries := slices.Collect(maps.Values(r.have))
	for _, e := range r.lock.Entries {
		if _, ok := r.have[name{e.Protocol, e.Key}]; !ok {
			entries = append(entries, e)
		}
	}
	return lockfile.New(entries)
}

// Problems returns what could not be recorded, one error for each request, sorted by request.
func (r *Recorder) Problems() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return inOrder(r.wrong)
}

// Forget clears Problems, for what was requested before the client's first request.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.wrong)
}

// Close ends the fetches that nobody waits for any more. The Recorder cannot be used afterwards.
func (r *Recorder) Close() {
	r.calls.Close()
	r.up.CloseIdleConnections()
}
