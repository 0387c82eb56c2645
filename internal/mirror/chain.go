package mirror

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"overland/internal/admission"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/flight"
	"overland/internal/health"
	"overland/internal/httpx"
	"overland/internal/store"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/trust/mirror"
)

// Options are the settings of a Chain. Sites is needed.
type Options struct {
	Sites []string          // URLs with their pins, in order of preference
	Root  trust.Fingerprint // whose metadata is handed on; needed once, "" = what was pinned before, or none
	// Offline reports whether nobody is to be asked now; nil = they may be.
	Offline func(ctx context.Context) bool
	// Kept is called once for a blob that was fetched through for a node; nil = nobody is told.
	Kept func(ctx context.Context, d digest.Digest, size int64) error

	Limit    int64         // most bytes of one blob; 0 = 16 GiB
	Stall    time.Duration // an upstream that sends nothing for so long is left; 0 = 30 s
	Fresh    time.Duration // how long metadata is served before upstream is asked again; 0 = 30 s
	Patience time.Duration // how long a node waits for that before it gets what is here; 0 = 10 s
	Down     time.Duration // how long upstream is not asked again after nobody answered, or had a blob; 0 = 10 s
	Log      *slog.Logger  // nil = nothing is logged
}

const (
	trustFolder = "trust" // in the chain's directory
	limit       = 16 << 30
	attempts    = 2 // of one upstream in a row that bring nothing: those who wait may know other sources
	stall       = 30 * time.Second
	fresh       = 30 * time.Second
	patience    = 10 * time.Second
	down        = 10 * time.Second
	ownFetches  = 64 // that one client causes at once; what it asks for more waits
)

// Chain asks upstream sites. It is safe for concurrent use. The caller ends it with Close.
type Chain struct {
	o       Options
	dir     string
	depot   store.Store
	sites   []*fetch.SiteSource
	others  *httpx.Transport // to where Transport is asked for, and no site is
	fetcher *fetch.Fetcher
	mirror  *mirror.Mirror

	blobs  flight.Group[digest.Digest, arrived] // on their way
	turns  admission.Turns                      // of clients, to fetch a blob
	absent health.Memory[digest.Digest]         // blobs that no upstream site has
	silent health.Memory[struct{}]              // no upstream site could be reached for a blob
	down   health.Memory[*fetch.SiteSource]     // sites that did not answer for their cache

	updates flight.Group[struct{}, struct{}] // of the metadata
	fresh   health.Memory[struct{}]          // it was updated, or that was tried, a moment ago
	trouble health.Trouble                   // with that
}

// Open returns the chain to o.Sites whose state is in the directory dir and whose blobs go to
// depot. Nothing is asked yet: see Pin.
func Open(dir string, depot store.Store, o Options) (*Chain, error) {
	o.Limit, o.Stall = cmp.Or(o.Limit, limit), cmp.Or(o.Stall, stall)
	o.Fresh, o.Patience = cmp.Or(o.Fresh, fresh), cmp.Or(o.Patience, patience)
	o.Down = cmp.Or(o.Down, down)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Offline == nil {
		o.Offline = func(context.Context) bool { return false }
	}
	c := &Chain{o: o, dir: dir, depot: depot, turns: admission.Turns{Most: ownFetches}, others: httpx.NewTransport(httpx.Ways{})}
	sources := make([]fetch.Source, len(o.Sites))
	for i, u := range o.Sites {
		s, err := fetch.Site(u, fetch.SiteOptions{Stall: o.Stall, Attempts: 1})
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(c.sites, func(other *fetch.SiteSource) bool { return other.URL() == s.URL() }) {
			return nil, errs.Errorf(errs.Invalid, "upstream %s is named twice", s.URL())
		}
		c.sites, sources[i] = append(c.sites, s), s
	}
	c.fetcher = fetch.New(depot, fetch.Options{
		Sources: sources, Stall: o.Stall, Attempts: attempts, Unknown: o.Limit, Progress: c.progress, Log: o.Log,
	})
	var err error
	if c.mirror, err = mirror.Open(filepath.Join(dir, trustFolder), client.Options{}); err != nil {
		return nil, err
	}
	return c, nil
}

// Pin makes Options.Root the root of trust for metadata, with the first site that has it.
// Where a root was pinned before, no site need answer: another root than it leads to is
// refused. Where none was, a site that does not answer now is not an error: each update tries
// again, and no metadata is served before.
func (c *Chain) Pin(ctx context.Context) error {
	if c.o.Root == "" {
		if !c.mirror.Pinned() {
			c.o.Log.Info("blobs are fetched through, signed metadata is not", "hint", "say whose: --root FINGERPRINT")
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Patience)
	defer cancel()
	err := c.pin(ctx)
	if err == nil && !c.mirror.Pinned() {
		c.o.Log.Warn("no upstream site answers for its root: no signed metadata is served until one does", "root", c.o.Root)
	}
	return err
}

// pin returns nil also when nothing is pinned because nobody answered.
func (c *Chain) pin(ctx context.Context) error {
	hint := "compare with what overland trust show prints on the machine that signs"
	var failed error
	if c.mirror.Pinned() {
		if failed = c.mirror.Pin(ctx, nil, c.o.Root); failed == nil {
			return nil
		}
		hint = "without --root this site keeps the root that it trusts; to follow another operator, remove " + filepath.Join(c.dir, trustFolder)
	}
	for _, s := range c.sites {
		if c.o.Offline(ctx) {
			break
		}
		err := c.mirror.Pin(ctx, s, c.o.Root)
		if err == nil {
			return nil
		}
		if k := errs.KindOf(err); k == errs.Untrusted || k == errs.Invalid {
			failed = fmt.Errorf("%s: %w", s.Name(), err)
		}
	}
	if failed == nil {
		return nil
	}
	return errs.Hint(errs.E(errs.Untrusted, fmt.Errorf("upstream: %w", failed)), "%s", hint)
}

// IDs returns what the upstream sites are called in Via.
func (c *Chain) IDs() []string {
	ids := make([]string, len(c.sites))
	for i, s := range c.sites {
		ids[i] = httpx.ID(s.URL().Pin)
	}
	return ids
}

// Bases returns the upstream sites' URLs without their pins.
func (c *Chain) Bases() []string {
	bases := make([]string, len(c.sites))
	for i, s := range c.sites {
		bases[i] = s.URL().Base()
	}
	return bases
}

// Transport returns how to reach the upstream sites, by their pins, and everything else as usual.
func (c *Chain) Transport() http.RoundTripper { return transport{c} }

type transport struct{ c *Chain }

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, s := range t.c.sites {
		if r.URL.Scheme+"://"+r.URL.Host == s.URL().Base() {
			return s.Transport().RoundTrip(r)
		}
	}
	return t.c.others.RoundTrip(r)
}

// Close ends what is under way and drops the connections.
func (c *Chain) Close() {
	c.updates.Close()
	c.blobs.Close()
	c.others.CloseIdleConnections()
	for _, s := range c.sites {
		s.CloseIdleConnections()
	}
}
