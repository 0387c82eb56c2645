package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"overland/internal/admission"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/flight"
	"overland/internal/health"
	"overland/internal/httpx"
	"overland/internal/netcache"
	"overland/internal/origin"
)

// Through says which network caches are asked for what this one does not have. What comes is
// checked and kept: a blob by its sha512, each entry as if an account had put it.
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

	Fresh    time.Duration // how long the list of a key is served without asking again; 0 = 5 min
	Absent   time.Duration // how long a blob that nobody has is not asked for again; 0 = 1 min
	Patience time.Duration // how long a reader of a list waits for them; 0 = 10 s
	Down     time.Duration // back-off after none of them answered, or this one did not while others do; 0 = 30 s
}

const (
	freshTime    = 5 * time.Minute
	absentTime   = time.Minute
	patienceTime = 10 * time.Second
	downTime     = 30 * time.Second
	mostCalls    = 128 // fetched at once; later requests are told to come back
	ownCalls     = 64  // of one client
)

// through asks other network caches, once for all who want the same. A call goes on when those who
// wait have left, for those who come later.
type through struct {
	s *Server
	o Through

	calls flight.Group[string, struct{}]
	known health.Memory[string]   // lists that are fresh, and blobs that nobody has
	down  health.Memory[struct{}] // none of them answered
	dead  health.Memory[string]   // those that did not answer, by base URL
	begun writers                 // what each client has caused to be fetched
}

// call is one thing on its way.
type call = flight.Call[struct{}]

func newThrough(s *Server, o Through) *through {
	o.Fresh, o.Absent = cmp.Or(o.Fresh, freshTime), cmp.Or(o.Absent, absentTime)
	o.Patience, o.Down = cmp.Or(o.Patience, patienceTime), cmp.Or(o.Down, downTime)
	o.Fetch = cmp.Or(o.Fetch, &origin.Client{})
	return &through{s: s, o: o}
}

// may reports whether upstream is to be asked for the request of ctx; t may be nil.
func (t *through) may(ctx context.Context) bool {
	return t != nil && !httpx.OnlyIfCached(ctx) && (t.o.Offline == nil || !t.o.Offline(ctx))
}

// blob brings the blob called name onto the shelf.
func (t *through) blob(ctx context.Context, name string, wait Wait) error {
	id := "blob " + name
	if t.known.Has(id) {
		return errs.Errorf(errs.NotFound, "no blob %.16s…", name)
	}
	c, joined, err := t.start(ctx, id, func(ctx context.Context, c *call) error {
		err := t.fetchBlob(ctx, c, name)
		if errs.KindOf(err) == errs.NotFound {
			t.known.Set(id, t.o.Absent)
		}
		return err
	})
	if err != nil {
		return err
	}
	if joined && httpx.Relayed(ctx) {
		var done func()
		ctx, done = httpx.UnlessNobody(ctx, t.lacks(name)...)
		defer done()
	}
	return wait(c.Progress, func() error {
		_, err := c.Wait(ctx)
		return err
	})
}

// lacks returns, for each upstream, whether it says that it has no blob of this name. By GET:
// there is no HEAD in the protocol.
func (t *through) lacks(name string) (list []func(context.Context) bool) {
	for _, base := range t.o.Blobs {
		u, err := url.Parse(strings.TrimSuffix(base, "/") + "/" + name)
		tell := err == nil && t.o.Fetch.Tell != nil && t.o.Fetch.Tell(u.Host)
		list = append(list, func(ctx context.Context) bool {
			return err == nil && httpx.Lacks(ctx, t.o.Fetch.RoundTripper(), http.MethodGet, u.String(), tell)
		})
	}
	return list
}

// start joins the call of id, or begins it with do.
func (t *through) start(ctx context.Context, id string, do func(context.Context, *call) error) (c *call, joined bool, err error) {
	if t.calls.Find(id) == nil {
		switch {
		case t.down.Has(struct{}{}):
			return nil, false, errs.Errorf(errs.Unavailable, "no upstream network cache answered a moment ago")
		case t.calls.Len() >= mostCalls:
			return nil, false, errs.Errorf(errs.Unavailable, "too many things are being fetched from upstream")
		}
	}
	end := func() {}
	if who := admission.For(ctx).String(); who != "" && t.calls.Find(id) == nil {
		if end, err = t.begun.enter(who, ownCalls); err != nil {
			return nil, false, err
		}
	}
	c, joined = t.calls.Join(ctx, id, func(ctx context.Context, c *call) (struct{}, error) {
		defer end()
		err := do(ctx, c)
		if errs.KindOf(err) == errs.Unavailable && c.Progress() == 0 && ctx.Err() == nil {
			t.down.Set(struct{}{}, t.o.Down)
		}
		return struct{}{}, err
	})
	if c.Keep(); joined {
		end()
	}
	return c, joined, nil
}

// first asks the services at bases in turn for path, until one has what take accepts. Errors: kind
// NotFound when each of them says that there is no such thing.
func (t *through) first(ctx context.Context, bases []string, path string, req origin.Request, take func(base string, f *origin.Answer) error) error {
	var failed error
	for i, to := range t.living(bases) {
		req.Else = i < len(bases)-1
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
			t.s.o.Log.Warn("an upstream network cache fails", "upstream", base, "name", req.Name, "error", err)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", base, err))
		}
	}
	if failed != nil {
		return errs.Errorf(errs.Unavailable, "%v", failed) // not wrapped: a short answer of theirs is not one of our client's
	}
	return errs.Errorf(errs.NotFound, "%s is not here, and no upstream has it", req.Name)
}

// living returns bases, with those that did not answer a moment ago at the end:
// waiting for silence takes a minute.
func (t *through) living(bases []string) []string {
	dead := func(base string) int {
		if t.dead.Has(base) {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(bases), func(a, b string) int { return dead(a) - dead(b) })
}

// answered remembers whether the one at base answered.
func (t *through) answered(base string, err error) {
	if errs.KindOf(err) == errs.Unavailable {
		t.dead.Set(base, t.o.Down)
	} else {
		t.dead.Forget(base)
	}
}

func (t *through) fetchBlob(ctx context.Context, c *call, name string) error {
	// A blob may be a web page: its name says whether it is the right one.
	req := origin.Request{Name: name, Limit: t.s.o.MaxBlob, Page: true, Heard: func() { c.Add(1) }}
	return t.first(ctx, t.o.Blobs, name, req, func(_ string, f *origin.Answer) error {
		d, n, err := t.s.shelf.adopt(ctx, f.Body, name)
		if err == nil && t.o.Kept != nil {
			err = t.o.Kept(ctx, name, d, n)
		}
		return err
	})
}

// list brings the list of key up to date. What is here is given when
// upstream takes too long or fails.
func (t *through) list(ctx context.Context, key string) error {
	if err := netcache.CheckKey(key); err != nil {
		return err // before it is remembered: it may be as long as a request
	}
	id := "list " + key
	if t.known.Has(id) {
		return nil
	}
	c, _, err := t.start(ctx, id, func(ctx context.Context, c *call) error {
		_, err := t.sync(ctx, func() { c.Add(1) }, key, false)
		if errs.KindOf(err) == errs.NotFound {
			err = nil
		}
		if err == nil {
			t.known.Set(id, t.o.Fresh)
		} else {
			t.known.Set(id, t.o.Down)
		}
		return err
	})
	if err != nil {
		return err
	}
	_, err = c.WaitFor(ctx, t.o.Patience)
	return err
}

// sync merges the list of key from the first upstream that has one. With drop set, entries that
// came from upstream and are gone there are dropped. It reports how the list changed.
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

// admit returns the entries that the policy lets in, as records. A bad entry of an upstream
// does not hide the others.
func (t *through) admit(key, base string, entries []netcache.Entry, bad int) []Record {
	now, policy := t.s.o.Clock(), t.s.o.Policy()
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
