package record

import (
	"cmp"
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
	// Seen is the lock that this recording will take the place of: an index that is older than the one in it is a mirror
	// that fell behind, or that somebody rolls back. nil = nothing.
	Seen *lockfile.Lock
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
	seen  *lockfile.Lock // nil = nothing
	note  func(lockfile.Entry)
	calls flight.Group[name, lockfile.Entry]

	mu    sync.Mutex
	have  map[name]lockfile.Entry
	noted map[name]lockfile.Entry
	wrong map[name]error
	early map[digest.Digest]*Arrival // clients already have them; on their way to the disk

	secrets map[name]map[digest.Digest]bool // digests of the secrets with which a name was requested

	vary map[name][]string    // the fields that origins say they heed, by name without what was asked
	asks map[name]http.Header // of the requests that what have holds answers, if it is Whole
	led  map[string]Item      // what redirected to the key of something whose address is not kept
	who  identities

	less sync.Cond // of mu: early has shrunk
	lost error     // the first error of those that did not get there
}

// name is what an answer is held under. asked tells those of one key apart: see question.
type name struct{ protocol, key, asked string }

// NewRecorder returns a Recorder that keeps bytes in s.
func NewRecorder(s Depot, o Options) *Recorder {
	r := &Recorder{
		store: s, up: o.Upstream, lock: o.Lock, seen: o.Seen, note: o.Note,
		have: map[name]lockfile.Entry{}, noted: map[name]lockfile.Entry{}, wrong: map[name]error{},
		early: map[digest.Digest]*Arrival{}, secrets: map[name]map[digest.Digest]bool{},
		vary: map[name][]string{}, asks: map[name]http.Header{}, led: map[string]Item{},
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
	if err != nil {
		n := r.nameOf(it)
		r.mu.Lock()
		defer r.mu.Unlock()
		err = cmp.Or(r.wrong[n], err) // what was found out about it meanwhile
	}
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
	for {
		n := r.nameOf(it)
		e, ok := r.held(n, it)
		var err error
		if !ok {
			e, err = Join(ctx, &r.calls, n, func(ctx context.Context, c *flight.Call[lockfile.Entry]) (lockfile.Entry, error) {
				if e, ok := r.held(n, it); ok { // since the caller looked
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
		if err == nil && !ok && r.nameOf(it) != n {
			continue // it may be the answer to another question: the origin heeds more than was known
		}
		if err == nil {
			err = r.sameWith(ctx, p, it, e)
		}
		return e, err
	}
}

// held returns what is held under n and answers it.
func (r *Recorder) held(n name, it Item) (lockfile.Entry, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.have[n]
	if whole, ok := wholeOf(it); ok {
		n.asked = question(whole.Header, r.varies(n.line()))
		if e, ok := r.have[n]; ok && ranged(e) {
			return e, true
		}
	}
	return e, ok && answers(it, e)
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
	n := r.nameOf(it)
	q := &Acquisition{Protocol: p, Item: it, Have: r.lookup(it.Protocol), Before: r.before(it), Store: r.store, Late: true}
	held := func(e lockfile.Entry) (lockfile.Entry, error) {
		n = r.learn(it, e)
		r.leads(p, it, e)
		r.publish(c, n, e)
		if e.Exists() {
			ReadAhead(ctx, p, it, q.Have)
		}
		return e, nil
	}
	locked, isLocked := find(r.lock, it)
	if isLocked {
		if !locked.Exists() || r.holds(ctx, locked.Blob) {
			return held(locked)
		}
		q.Locked = &locked
	}
	r.mu.Lock()
	noted, isNoted := r.noted[n.line()]
	r.mu.Unlock()
	isNoted = isNoted && !isLocked && !it.Mutable
	q.Get = func(ctx context.Context, ask origin.Request) (*origin.Answer, error) {
		// Not earlier: finding the address has recorded the index that proves it.
		if isNoted && r.holds(ctx, noted.Blob) {
			return nil, errNoted
		}
		if err := usable(it); err != nil {
			return nil, err
		}
		if it.Whole {
			if ask.URL, err = r.address(ctx, it, redirects); err != nil {
				return nil, err
			}
		}
		return r.up.Get(ctx, Share(ask, c))
	}
	q.Keep = func(ctx context.Context, in *Arrival) error {
		if n = r.learn(it, in.Entry); len(r.who.kept(it.Key, in.Entry.Header)) > lockfile.FieldsLimit {
			return errs.Errorf(errs.Invalid, "the header of the answer is longer than a lock holds (%d bytes)", lockfile.FieldsLimit)
		}
		r.leads(p, it, in.Entry)
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
			r.noted[name{e.Protocol, e.Key, ""}] = e
		}
	}
}

// lookup returns a Lookup of what this session, or the lock with the store, holds for protocol.
func (r *Recorder) lookup(protocol string) Lookup {
	return func(ctx context.Context, key string) (io.ReadCloser, error) {
		r.mu.Lock()
		e, ok := r.have[name{protocol, key, ""}]
		r.mu.Unlock()
		if !ok {
			e, ok = r.lock.Find(protocol, key)
		}
		return open(ctx, r, e, ok, protocol, key)
	}
}

// before returns lookup, to which what the lock of before has under it's own key counts as held: for comparison, because
// nothing that is recorded now is proved by it. It is nil without such a lock, and for what never changes.
func (r *Recorder) before(it Item) Lookup {
	if r.seen == nil || !it.Mutable {
		return nil
	}
	have := r.lookup(it.Protocol)
	return func(ctx context.Context, key string) (io.ReadCloser, error) {
		f, err := have(ctx, key)
		if key != it.Key || errs.KindOf(err) != errs.NotFound {
			return f, err
		}
		e, ok := r.seen.Find(it.Protocol, key)
		return open(ctx, r.store, e, ok, it.Protocol, key)
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
	entries := slices.Clone(r.lock.Entries)
	whole := map[name][]variant{}
	for n, e := range r.have {
		locked := r.lock.Variants(n.protocol, n.key)
		if header, ok := r.asks[n]; ok {
			whole[n.line()] = append(whole[n.line()], variant{header, e})
		} else if len(locked) == 0 {
			entries = append(entries, e)
		}
	}
	for _, n := range slices.SortedFunc(maps.Keys(whole), compareNames) { // in order: marks are numbered
		entries = append(entries, r.lines(n.key, whole[n], r.lock.Variants(n.protocol, n.key))...)
	}
	return lockfile.New(entries)
}

// Problems returns what could not be recorded, one error for each request, sorted by request.
func (r *Recorder) Problems() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return inOrder(r.wrong)
}

// Asked returns the keys of protocol that were requested and exist, sorted.
func (r *Recorder) Asked(protocol string) (keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, e := range r.have {
		if n.protocol == protocol && e.Exists() {
			keys = append(keys, n.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Also records it if no client asked for it: when it cannot be had, that is not one of the Problems,
// and not in the lock. No client may ask meanwhile.
func (r *Recorder) Also(ctx context.Context, p Protocol, it Item) error {
	n := r.nameOf(it)
	r.mu.Lock()
	_, had := r.have[n]
	_, failed := r.wrong[n]
	r.mu.Unlock()
	if had || failed {
		return nil
	}
	e, err := r.entry(ctx, p, it)
	if err != nil || !e.Exists() {
		r.mu.Lock()
		delete(r.wrong, n)
		delete(r.have, n)
		r.mu.Unlock()
	}
	return err
}

// Refuse implements Refuser.
func (r *Recorder) Refuse(err *RefusedError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong[name{err.Protocol, err.Request, "refused"}] = err
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
