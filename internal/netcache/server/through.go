package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/origin"
)

// Through says which network caches are asked for what this one does not have. What comes is checked and kept: a blob by
// its sha512, each entry as if an account had put it.
type Through struct {
	Blobs []string       // base URLs of their services shacache, the near ones first
	Lists []string       // and shadir
	Fetch *origin.Client // how they are asked
	// Kept is called when a blob came; nil = nobody is told.
	Kept func(ctx context.Context, name string, d digest.Digest, size int64) error
	// Offline reports whether nothing is to be asked now; nil = it may be.
	Offline func(ctx context.Context) bool
	// Used is called when a blob is asked for; nil = nobody is told.
	Used func(name string)

	Fresh    time.Duration // how long the list of a key is given without asking again; 0 = 5 min
	Absent   time.Duration // how long it is believed that nobody has a blob; 0 = 1 min
	Patience time.Duration // what a reader of a list waits for them; 0 = 10 s
	Down     time.Duration // how long they are not asked when none of them answered, and one that did not while others do; 0 = 30 s
}

const (
	freshTime    = 5 * time.Minute
	absentTime   = time.Minute
	patienceTime = 10 * time.Second
	downTime     = 30 * time.Second
	mostFlights  = 128     // fetched at once; who comes later is told to come back
	mostKnown    = 1 << 14 // keys and names of which it is remembered when they were asked for
)

// through asks other network caches, once for all who want the same.
type through struct {
	s *Server
	o Through

	mu      sync.Mutex
	flights map[string]*flight
	asked   map[string]time.Time // lists, and blobs that nobody has
	down    time.Time            // when none answered
	dead    map[string]time.Time // when the one with this base did not
	wg      sync.WaitGroup
}

// flight is one thing on its way. It goes on when those who wait have left, for those who come later.
type flight struct {
	done   chan struct{}
	cancel context.CancelFunc
	came   atomic.Int64
	err    error
}

func newThrough(s *Server, o Through) *through {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Fresh, freshTime)
	def(&o.Absent, absentTime)
	def(&o.Patience, patienceTime)
	def(&o.Down, downTime)
	if o.Fetch == nil {
		o.Fetch = &origin.Client{}
	}
	return &through{s: s, o: o, flights: map[string]*flight{}, asked: map[string]time.Time{}, dead: map[string]time.Time{}}
}

// may reports whether upstream is to be asked for the request of ctx; t may be nil.
func (t *through) may(ctx context.Context) bool {
	return t != nil && !httpx.Held(ctx) && (t.o.Offline == nil || !t.o.Offline(ctx))
}

// close ends what is under way.
func (t *through) close() {
	t.mu.Lock()
	for _, f := range t.flights {
		f.cancel()
	}
	t.mu.Unlock()
	t.wg.Wait()
}

// blob brings the blob called name onto the shelf.
func (t *through) blob(w http.ResponseWriter, r *http.Request, name string) error {
	if t.recently("blob "+name, t.o.Absent) {
		return errs.Errorf(errs.NotFound, "no blob %.16s…", name)
	}
	f, joined, err := t.start(r.Context(), "blob "+name, func(ctx context.Context, f *flight) error {
		err := t.fetchBlob(ctx, f, name)
		if errs.KindOf(err) == errs.NotFound {
			t.note("blob "+name, 0)
		}
		return err
	})
	if err != nil {
		return err
	}
	ctx := r.Context()
	if joined && httpx.Passed(ctx) {
		var done func()
		ctx, done = t.unlessNobody(ctx, name)
		defer done()
	}
	return httpx.Wait(w, r, f.came.Load, func() error { return f.wait(ctx) })
}

// unlessNobody returns ctx, which ends as not found when every upstream says that it has no blob of this name. It is for another
// site's request that waits for what somebody else asked for, which in a ring may wait for that very site: package chain does
// the same. The caller calls done.
func (t *through) unlessNobody(ctx context.Context, name string) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		for _, base := range t.o.Blobs {
			if !t.lacks(ctx, strings.TrimSuffix(base, "/")+"/"+name) {
				return
			}
		}
		cancel(errs.Errorf(errs.NotFound, "on the way of who asks nobody has it"))
	})
	return ctx, func() { cancel(nil); asking.Wait() }
}

// lacks reports whether the network cache at url says that there is no such blob. By GET: there is no HEAD in the protocol.
func (t *through) lacks(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	if t.o.Fetch.Tell != nil && t.o.Fetch.Tell(req.URL.Host) {
		httpx.Forward(ctx, req.Header)
	}
	here := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // what another host lacks says nothing
	res, err := (&http.Client{Transport: t.o.Fetch.Transport, CheckRedirect: here}).Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusNotFound
}

func (f *flight) heard() { f.came.Add(1) }

func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// start joins the flight of id, or begins it with do.
func (t *through) start(ctx context.Context, id string, do func(context.Context, *flight) error) (f *flight, joined bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f = t.flights[id]
	switch {
	case f != nil:
		return f, true, nil
	case time.Since(t.down) < t.o.Down:
		return nil, false, errs.Errorf(errs.Unavailable, "no upstream network cache answered a moment ago")
	case len(t.flights) >= mostFlights:
		return nil, false, errs.Errorf(errs.Unavailable, "too many things are fetched from upstream at once")
	}
	f = &flight{done: make(chan struct{})}
	ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.flights[id] = f
	t.wg.Go(func() {
		defer f.cancel()
		f.err = do(ctx, f)
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.flights, id)
		if errs.KindOf(f.err) == errs.Unavailable && f.came.Load() == 0 && ctx.Err() == nil {
			t.down = time.Now()
		}
		close(f.done)
	})
	return f, false, nil
}

func (t *through) recently(id string, age time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	then, ok := t.asked[id]
	return ok && time.Since(then) < age
}

// note remembers that id was asked for, so long ago.
func (t *through) note(id string, ago time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.asked) >= mostKnown {
		clear(t.asked)
	}
	t.asked[id] = time.Now().Add(-ago)
}

// first asks the services at bases in turn for path, until one has what take accepts. Errors: kind NotFound when each of
// them says that there is no such thing.
func (t *through) first(ctx context.Context, bases []string, path string, req origin.Request, take func(base string, f *origin.Answer) error) error {
	var failed error
	for _, to := range t.living(bases) {
		req.URL = strings.TrimSuffix(to, "/") + "/" + path
		base := httpx.Redacted(to)
		f, err := t.o.Fetch.Get(ctx, req)
		t.answered(to, err)
		if err == nil {
			err = errors.Join(take(base, f), f.Close())
		}
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if errs.KindOf(err) != errs.NotFound {
			t.s.o.Log.Warn("an upstream network cache fails", "upstream", base, "what", req.Name, "err", err)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", base, err))
		}
	}
	if failed != nil {
		return errs.Errorf(errs.Unavailable, "%v", failed) // not wrapped: a short answer of theirs is not one of our client's
	}
	return errs.Errorf(errs.NotFound, "%s is not here, and no upstream has it", req.Name)
}

// living returns bases with those last that did not answer a moment ago: silence takes a minute, and others may have it.
func (t *through) living(bases []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	dead := func(base string) int {
		if time.Since(t.dead[base]) < t.o.Down {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(bases), func(a, b string) int { return dead(a) - dead(b) })
}

// answered notes what asking the one at base ended with.
func (t *through) answered(base string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.dead, base)
	if errs.KindOf(err) == errs.Unavailable {
		t.dead[base] = time.Now()
	}
}

func (t *through) fetchBlob(ctx context.Context, f *flight, name string) error {
	// A blob may be a web page: its name says whether it is the right one.
	req := origin.Request{Name: name, Limit: t.s.o.MaxBlob, Page: true, Heard: f.heard}
	return t.first(ctx, t.o.Blobs, name, req, func(_ string, f *origin.Answer) error {
		d, n, err := t.s.shelf.pass(ctx, f.Body, name)
		if err == nil && t.o.Kept != nil {
			err = t.o.Kept(ctx, name, d, n)
		}
		return err
	})
}

// list brings the list of key up to date. What is here is given when upstream takes too long or fails.
func (t *through) list(ctx context.Context, key string) error {
	if err := netcache.CheckKey(key); err != nil {
		return err // before it is remembered: it may be as long as a request
	}
	id := "list " + key
	if t.recently(id, t.o.Fresh) {
		return nil
	}
	f, _, err := t.start(ctx, id, func(ctx context.Context, f *flight) error {
		_, err := t.sync(ctx, f.heard, key, false)
		if errs.KindOf(err) == errs.NotFound {
			err = nil
		}
		if err == nil {
			t.note(id, 0)
		} else {
			t.note(id, t.o.Fresh-t.o.Down)
		}
		return err
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.o.Patience)
	defer cancel()
	return f.wait(ctx)
}

// sync merges the list of key that the first upstream has that has one. With drop set, entries that came from upstream
// and that it has no more go. It reports what has become of the list.
func (t *through) sync(ctx context.Context, heard func(), key string, drop bool) (change, error) {
	var list []Record
	req := origin.Request{Name: key, Limit: netcache.ListLimit, Heard: heard}
	err := t.first(ctx, t.o.Lists, netcache.EscapeKey(key), req, func(base string, f *origin.Answer) error {
		entries, bad, err := netcache.ParseList(f.Body)
		if err != nil {
			return errs.E(errs.Unavailable, err)
		}
		list = t.admit(key, base, entries, bad)
		return nil
	})
	if err != nil && (!drop || errs.KindOf(err) != errs.NotFound) {
		return unchanged, err
	}
	return t.s.shelf.merge(ctx, key, list, drop)
}

// admit returns the entries that the policy lets in, as records. An upstream that sends others is no reason to refuse the rest.
func (t *through) admit(key, base string, entries []netcache.Entry, bad int) []Record {
	now, policy := t.s.o.Clock(), t.s.policy()
	var list []Record
	for _, e := range entries {
		signer, warning, err := policy.admit(key, e)
		if err != nil || warning != nil {
			bad++
		}
		if err != nil {
			continue
		}
		at := now
		if c := netcache.Created(e); !c.IsZero() && c.Before(now) {
			at = c // a claim, but one that only makes it older than what is known to be newer
		}
		list = append(list, Record{Key: key, Metadata: e.Metadata, Signature: e.Signature, Time: at, Signer: signer, Upstream: base})
	}
	if bad > 0 {
		t.s.o.Log.Warn("an upstream network cache has entries that are not taken", "upstream", base, "key", key, "entries", bad)
	}
	return list
}
