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

// noTime is the modification time of what has none: no Last-Modified is sent.
var noTime time.Time

// Options changes how a Recorder works. The zero value works.
type Options struct {
	Upstream *origin.Client // how things are fetched; nil = the defaults
	Lock     *lockfile.Lock // what is locked already: it is served as it is and never replaced; nil = nothing
	// Note is told of each entry with a proof, which never changes, as soon as its blob is in the store: for Resume; nil =
	// nobody is. It may be called by several goroutines.
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
	early map[digest.Digest]*Arrival // given to clients already, and on their way to the disk
	less  sync.Cond                  // of mu: early has become shorter
	lost  error                      // of those that did not get there
}

type name struct{ protocol, key string }

// NewRecorder returns a Recorder that keeps bytes in s.
func NewRecorder(s Depot, o Options) *Recorder {
	r := &Recorder{
		store: s, up: o.Upstream, lock: o.Lock, note: o.Note,
		have: map[name]lockfile.Entry{}, noted: map[name]lockfile.Entry{}, wrong: map[name]error{},
		early: map[digest.Digest]*Arrival{},
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

// Open opens blob d: what is on its way to the disk too.
func (r *Recorder) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	r.mu.Lock()
	if g := r.early[d]; g != nil {
		defer r.mu.Unlock() // its file is closed once it is not in early any more
		return g.Open()
	}
	r.mu.Unlock()
	return r.store.Open(ctx, d)
}

// entry returns the entry of it, whose blob Open has then.
func (r *Recorder) entry(ctx context.Context, p Protocol, it Item) (lockfile.Entry, error) {
	n := name{it.Protocol, it.Key}
	if e, ok := r.held(n); ok {
		return e, nil
	}
	return r.calls.Do(ctx, n, func(ctx context.Context, c *flight.Call[lockfile.Entry]) (lockfile.Entry, error) {
		if e, ok := r.held(n); ok { // since the caller looked
			return e, nil
		}
		e, err := r.acquire(ctx, c, p, it)
		if err != nil {
			r.fail(ctx, n, err)
		}
		return e, err
	})
}

func (r *Recorder) held(n name) (lockfile.Entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.have[n]
	return e, ok
}

// publish makes e what is held, and gives it to those who wait for c.
func (r *Recorder) publish(c *flight.Call[lockfile.Entry], n name, e lockfile.Entry) {
	r.mu.Lock()
	r.have[n] = e
	delete(r.wrong, n)
	r.mu.Unlock()
	c.Deliver(e, nil)
}

// fail notes that n could not be had, unless it is because nobody waits for it any more.
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

// errNoted means that an earlier recording has it: nothing is fetched.
var errNoted = errors.New("noted by an earlier recording")

// acquire returns the entry of it: the locked one when the store has its blob, else what upstream has, checked.
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
		// Only now: finding the address has locked the index that proves it.
		if isNoted && r.holds(ctx, noted.Blob) {
			return nil, errNoted
		}
		return r.up.Get(ctx, ask)
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

// holds reports whether the store has blob d. One that the disk has changed it has no more: then it is fetched again, and
// must be the same.
func (r *Recorder) holds(ctx context.Context, d digest.Digest) bool {
	err := store.Verify(ctx, r.store, d)
	if errors.Is(err, digest.ErrMismatch) {
		_ = r.store.Remove(ctx, d) // else the right one would be taken for it
	}
	return err == nil
}

// Resume takes from l, what an earlier Recorder's Note was told, the entries that need not be fetched again while the
// store has their blobs.
func (r *Recorder) Resume(l *lockfile.Lock) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range l.Entries {
		if e.Lasting() {
			r.noted[name{e.Protocol, e.Key}] = e
		}
	}
}

// lookup opens what this session, or the lock with the store, holds of protocol.
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

// Lock returns what was locked before together with everything that was asked for since and is stored.
func (r *Recorder) Lock() *lockfile.Lock {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waitForDisk() // what could not be stored is not in have then
	entries := slices.Collect(maps.Values(r.have))
	for _, e := range r.lock.Entries {
		if _, ok := r.have[name{e.Protocol, e.Key}]; !ok {
			entries = append(entries, e)
		}
	}
	return lockfile.New(entries)
}

// Problems returns what could not be recorded, one error for each request, sorted by it.
func (r *Recorder) Problems() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return inOrder(r.wrong)
}

// Forget empties what Problems returns: the client has not asked yet.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.wrong)
}

// Close waits for the fetches that nobody waits for any more. Nothing may be asked afterwards.
func (r *Recorder) Close() { r.calls.Close() }
