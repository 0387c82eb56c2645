package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/store"
)

// noTime is the modification time of what has none: no Last-Modified is sent.
var noTime time.Time

// Options changes how a Recorder works. The zero value works.
type Options struct {
	Upstream *Upstream      // how things are fetched; nil = the defaults
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

// Recorder is the Keeper that fetches, checks, stores and remembers. It is safe for concurrent use.
type Recorder struct {
	store Depot
	up    *Upstream
	lock  *lockfile.Lock
	note  func(lockfile.Entry)

	mu    sync.Mutex
	have  map[name]lockfile.Entry
	noted map[name]lockfile.Entry
	calls map[name]*call
	wrong map[name]error
	early map[digest.Digest]store.Staged // given to clients already, and on their way to the disk
	less  sync.Cond                      // of mu: early has become shorter
	lost  error                          // of those that did not get there
	wg    sync.WaitGroup
}

type name struct{ protocol, key string }

// call is a fetch under way, for all who wait for it. It is cancelled when nobody waits any more.
type call struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiters int
	entry   lockfile.Entry
	err     error
}

// NewRecorder returns a Recorder that keeps bytes in s.
func NewRecorder(s Depot, o Options) *Recorder {
	r := &Recorder{store: s, up: o.Upstream, lock: o.Lock, note: o.Note, have: map[name]lockfile.Entry{}, noted: map[name]lockfile.Entry{}, calls: map[name]*call{}, wrong: map[name]error{}, early: map[digest.Digest]store.Staged{}}
	r.less.L = &r.mu
	if r.up == nil {
		r.up = &Upstream{}
	}
	if r.lock == nil {
		r.lock = &lockfile.Lock{}
	}
	return r
}

// Get implements Keeper.
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
	r.mu.Lock()
	if e, ok := r.have[n]; ok {
		r.mu.Unlock()
		return e, nil
	}
	c := r.calls[n]
	if c == nil {
		c = &call{done: make(chan struct{})}
		var own context.Context
		own, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
		r.calls[n] = c
		r.wg.Go(func() { r.run(own, c, n, p, it) })
	}
	c.waiters++
	r.mu.Unlock()

	select {
	case <-c.done:
		return c.entry, c.err
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.waiters--; c.waiters == 0 {
		c.cancel()
		if r.calls[n] == c {
			delete(r.calls, n) // who asks next starts anew
		}
	}
	return lockfile.Entry{}, ctx.Err()
}

func (r *Recorder) run(ctx context.Context, c *call, n name, p Protocol, it Item) {
	defer c.cancel()
	e, in, err := r.fetch(ctx, p, it)
	if in != nil {
		defer in.close()
	}
	c.entry, c.err = e, err
	if in == nil || !r.hurry(in) {
		if in != nil {
			c.entry, c.err = r.keep(ctx, p, it, in, e)
		}
		r.end(ctx, c, n)
	} else {
		r.end(ctx, c, n)
		// Clients have it: that the last one who asked has left is no reason to drop it.
		e, err := r.keep(context.WithoutCancel(ctx), p, it, in, e)
		r.settle(n, in, e, err)
	}
	if c.err == nil && e.Exists() {
		ReadAhead(ctx, p, it, r.lookup(it.Protocol))
	}
}

// end lets those who wait for c have it.
func (r *Recorder) end(ctx context.Context, c *call, n name) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[n] == c {
		delete(r.calls, n)
	}
	switch {
	case c.err == nil:
		r.have[n] = c.entry
		delete(r.wrong, n)
	case ctx.Err() == nil:
		r.wrong[n] = c.err
	}
	close(c.done)
}

// fetch returns the entry of it: the locked one when the store has its blob, else what the upstream has, checked, with
// what is to be stored then.
func (r *Recorder) fetch(ctx context.Context, p Protocol, it Item) (_ lockfile.Entry, _ *arrived, err error) {
	locked, isLocked := r.lock.Find(it.Protocol, it.Key)
	if isLocked && (!locked.Exists() || r.holds(ctx, locked.Blob)) {
		return locked, nil, nil
	}
	it, err = Locate(ctx, p, it, r.lookup(it.Protocol))
	if err != nil {
		return lockfile.Entry{}, nil, err
	}
	r.mu.Lock()
	e, isNoted := r.noted[name{it.Protocol, it.Key}]
	r.mu.Unlock()
	if isNoted && !isLocked && !it.Mutable && r.holds(ctx, e.Blob) {
		return e, nil, nil
	}
	e = lockfile.Entry{Protocol: it.Protocol, Key: it.Key, Status: http.StatusOK, Mutable: it.Mutable}
	defer Prepare(ctx, p, it)()
	a, err := r.up.Get(ctx, it.Request())
	if status := (*StatusError)(nil); errors.As(err, &status) && lockfile.IsFact(status.Status) {
		if isLocked {
			return lockfile.Entry{}, nil, errs.Hint(errs.E(errs.Conflict, fmt.Errorf("%s %s is locked, the depot lacks it, and upstream has it no more: %w",
				it.Protocol, it.Key, err)), "copy blob %s from a depot that has it", locked.Blob)
		}
		e.Status = status.Status
		e.Mutable = true // it may exist tomorrow
		return e, nil, nil
	}
	if err != nil {
		return lockfile.Entry{}, nil, fmt.Errorf("record %s %s: %w", it.Protocol, it.Key, err)
	}
	in := &arrived{Fetched: a}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	if in.Staged, err = r.store.Stage(ctx, a.Body); err != nil {
		return lockfile.Entry{}, nil, err
	}
	if isLocked && in.Digest() != locked.Blob {
		err := &ChangedError{it.Protocol, it.Key, a.URL, locked.Blob, in.Digest()}
		return lockfile.Entry{}, nil, errs.Hint(errs.E(errs.Conflict, err), "nothing was replaced; overland lock update shows what would move")
	}
	if _, err := a.Body.Seek(0, io.SeekStart); err != nil {
		return lockfile.Entry{}, nil, err
	}
	if e.Proof, err = p.Check(ctx, it, a.Body, r.lookup(it.Protocol)); err != nil {
		return lockfile.Entry{}, nil, fmt.Errorf("record %s %s from %s: %w", it.Protocol, it.Key, a.URL, err)
	}
	if isLocked {
		return locked, in, nil
	}
	e.MediaType, e.Blob, e.Size = a.MediaType, in.Digest(), in.Staged.Size()
	return e, in, nil
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
	r.settled() // what could not be stored is not in have then
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
func (r *Recorder) Close() {
	r.mu.Lock()
	for _, c := range r.calls {
		c.cancel()
	}
	r.mu.Unlock()
	r.wg.Wait()
}
