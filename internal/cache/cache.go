package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"overland/internal/admission"
	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/flight"
	"overland/internal/fsx"
	"overland/internal/health"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
)

// Defaults of Options.
const (
	DefaultFresh    = 5 * time.Minute
	DefaultAbsent   = time.Minute
	DefaultPatience = 10 * time.Second
	downtime        = 30 * time.Second // how long an upstream that failed is left alone while there is a stale answer
)

// Options are the settings of a Cache. Only Facts is required.
type Options struct {
	Upstream *origin.Client // how things are fetched; nil = the defaults, with unfinished transfers in the cache's directory
	Near     Near           // asked before upstream; nil = none
	Fresh    time.Duration  // how long what can change is served without revalidation; 0 = DefaultFresh
	Absent   time.Duration  // how long a "not found" of upstream is believed; 0 = DefaultAbsent
	Patience time.Duration  // how long to wait for upstream when there is a stale answer; 0 = DefaultPatience
	Offline  bool           // never ask upstream, whatever SetOffline says
	Limit    int64          // bytes of disk that answers may take; 0 = no limit
	// Roots returns the blobs that eviction must keep whatever the limit is: those that locks and
	// releases name. nil = none.
	Roots func(ctx context.Context) (map[digest.Digest]bool, error)
	// Coming is called before an answer becomes a blob; its error keeps it out. nil = nobody is told.
	Coming func(ctx context.Context, protocol string, d digest.Digest) error
	Facts  Facts        // freezes and the offline switch; required
	Clock  clock.Clock  // nil = the machine's
	Log    *slog.Logger // nil = nothing is logged
}

// Cache is the pull-through cache. It is safe for concurrent use. The caller closes it.
type Cache struct {
	store Depot
	index *index
	facts Facts
	o     Options

	gate sync.RWMutex // held for reading from storing a blob until its row is written; for writing by eviction

	calls flight.Group[asked, answer]
	turns admission.Turns       // of clients, to fetch
	down  health.Memory[string] // hosts that failed

	mu     sync.Mutex
	used   map[id]time.Time // last uses that the index does not know yet
	fixed  map[id]version   // rows of the index that never change: a query costs more than sending 10 kB
	bound  map[bound]bool   // what bind has done
	spoken []record.Protocol
}

// Depot is where a Cache keeps bytes: a site's depot, which others use too.
type Depot interface {
	store.Blobs
	store.Stager
	// Claim notes that the cache names blobs of the depot: a garbage collection
	// that does not ask it is refused.
	Claim(name string) error
	// Retire removes blob d unless somebody touched it after since.
	Retire(d digest.Digest, since time.Time) (removed bool, err error)
}

// Open opens the cache whose index is in the directory dir and whose bytes are in s. A missing
// directory or index is created.
func Open(ctx context.Context, dir string, s Depot, o Options) (*Cache, error) {
	if o.Facts == nil {
		return nil, errs.Errorf(errs.Internal, "open cache %s: Options.Facts is nil", dir)
	}
	if err := (fsx.FS{}).Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open cache %s: %w", dir, err)
	}
	if err := s.Claim(store.ClaimCache); err != nil {
		return nil, fmt.Errorf("open cache %s: %w", dir, err)
	}
	x, err := openIndex(ctx, dir, o.Clock.Or()(), o.Facts)
	if err != nil {
		return nil, fmt.Errorf("open cache %s: %w", dir, err)
	}
	if o.Upstream == nil {
		o.Upstream = &origin.Client{Dir: dir}
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.Fresh = cmp.Or(o.Fresh, DefaultFresh)
	o.Absent = cmp.Or(o.Absent, DefaultAbsent)
	o.Patience = cmp.Or(o.Patience, DefaultPatience)
	return &Cache{
		store: s, index: x, facts: o.Facts, o: o, down: health.Memory[string]{Clock: o.Clock.Or()},
		turns: admission.Turns{Most: ownFetches},
		used:  map[id]time.Time{}, fixed: map[id]version{}, bound: map[bound]bool{},
	}, nil
}

// Close cancels the transfers under way, waits for them, and stores the times of last use.
func (c *Cache) Close() error {
	c.calls.Close()
	c.o.Upstream.CloseIdleConnections()
	return errors.Join(c.flush(context.Background()), c.index.close())
}

func (c *Cache) now() time.Time { return c.o.Clock.Or()() }

// Get implements record.Getter.
func (c *Cache) Get(ctx context.Context, p record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	seen := sight{have: c.lookup(it.Protocol)}
	it, err := seen.resolve(ctx, p, it)
	if err != nil {
		return lockfile.Entry{}, nil, err
	}
	a, b, err := c.get(ctx, p, it, seen)
	return a.entry, b, err
}

// answer is the result of a request: a version, or the status of what does not exist.
type answer struct {
	entry   lockfile.Entry
	version version
}

func (c *Cache) get(ctx context.Context, p record.Protocol, it record.Item, seen sight) (answer, store.Blob, error) {
	for again := false; ; again = true {
		a, err := c.find(ctx, p, it, seen)
		if err != nil || !a.entry.Exists() {
			return a, nil, err
		}
		b, err := c.store.Open(ctx, a.version.blob)
		// It was evicted or removed since find looked: fetch it again, once.
		if errors.Is(err, store.ErrNotFound) && !again {
			c.forget(a.version.id)
			continue
		}
		return a, b, err
	}
}

// find returns the answer to it, from the index if that will do, else from upstream.
func (c *Cache) find(ctx context.Context, p record.Protocol, it record.Item, seen sight) (answer, error) {
	i, now := id{it.Protocol, it.Key}, c.now()
	if v, ok := c.remembered(i); ok && !it.Mutable {
		return c.hit(v), nil // get finds out whether the blob is still there
	}
	old, known, err := c.index.newest(ctx, i, forever)
	if err != nil {
		return answer{}, err
	}
	held := known && old.held
	if held {
		if held, err = store.Has(ctx, c.store, old.blob); err != nil {
			return answer{}, err
		}
	}
	if held && (!it.Mutable || fresh(old.checked, now, c.o.Fresh)) {
		c.remember(old)
		return c.hit(old), nil
	}
	if held && it.AtOnce {
		return c.hit(old), c.revalidate(ctx, p, it, seen, old)
	}
	status, err := c.index.absent(ctx, i, now)
	if err != nil {
		return answer{}, err
	}
	if status != 0 {
		return gone(it, status), nil
	}
	offline, err := c.Offline(ctx)
	offline = offline || httpx.OnlyIfCached(ctx) // another site's request, which must end here
	switch {
	case err != nil:
		return answer{}, err
	case held && (offline || c.down.Has(host(it))):
		return c.hit(old), nil
	case httpx.OnlyIfCached(ctx):
		return answer{}, errs.Errorf(errs.NotFound, "%s %s is not cached here, and the requester is our own upstream", it.Protocol, it.Key)
	case offline:
		return answer{}, errs.Hint(errs.Errorf(errs.Unavailable, "%s %s is not cached, and the cache is offline", it.Protocol, it.Key),
			"overland cache offline off")
	}
	if !held {
		old.held = false
		return c.once(ctx, p, it, seen, old, 0)
	}
	a, err := c.once(ctx, p, it, seen, old, c.o.Patience)
	if err == nil || ctx.Err() != nil || !tolerable(err) {
		return a, err
	}
	c.down.Set(host(it), downtime)
	c.o.Log.Warn("upstream fails: serving a stale answer", "protocol", it.Protocol, "key", it.Key, "error", err)
	return c.hit(old), nil
}

// ownFetches are what one client causes to be fetched at once; what it asks for more waits.
const ownFetches = 64

// rememberLimit is how many versions are kept in memory, at about 600 bytes each.
const rememberLimit = 1 << 14

func (c *Cache) remembered(i id) (version, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.fixed[i]
	return v, ok
}

// remember keeps v in memory if it never changes.
func (c *Cache) remember(v version) {
	if v.mutable {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fixed) >= rememberLimit {
		clear(c.fixed)
	}
	c.fixed[v.id] = v
}

func (c *Cache) forget(i id) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fixed, i)
}

// tolerable reports whether a stale answer is better than err. A failed proof is never tolerable.
func tolerable(err error) bool {
	return errs.KindOf(err) == errs.Unavailable || fsx.IsFull(err) || errors.Is(err, flight.ErrSlow)
}

// fresh reports whether then is less than age ago. After the clock was set back, nothing is fresh.
func fresh(then, now time.Time, age time.Duration) bool {
	return !then.After(now) && now.Sub(then) < age
}

// hit notes that v was used and returns it as an answer.
func (c *Cache) hit(v version) answer {
	c.mu.Lock()
	c.used[v.id] = c.now()
	c.mu.Unlock()
	return answer{v.entry(), v}
}

func gone(it record.Item, status int) answer {
	return answer{entry: lockfile.Entry{Protocol: it.Protocol, Key: it.Key, Status: status, Mutable: true}}
}

// host returns what fails together with it: its host, or the whole protocol as long as the item has
// no address.
func host(it record.Item) string {
	if u, err := url.Parse(it.Upstream); err == nil {
		return cmp.Or(u.Host, it.Protocol)
	}
	return it.Upstream
}

// lookup returns a Lookup of what the cache holds for protocol.
func (c *Cache) lookup(protocol string) record.Lookup {
	return func(ctx context.Context, key string) (io.ReadCloser, error) {
		v, ok, err := c.index.newest(ctx, id{protocol, key}, forever)
		return c.openVersion(ctx, v, ok, protocol, key, err)
	}
}

func (c *Cache) openVersion(ctx context.Context, v version, ok bool, protocol, key string, err error) (io.ReadCloser, error) {
	switch {
	case err != nil:
		return nil, err
	case !ok || !v.held:
		return nil, errs.Errorf(errs.NotFound, "%s %s is not cached", protocol, key)
	}
	b, err := c.store.Open(ctx, v.blob)
	if err == nil {
		c.hit(v) // an index proves other answers: reading it counts as use
	}
	return b, err
}

// Past opens the version under key that n newer ones followed: errs.NotFound when there is
// none. For a while origins still have what an older list named, and machines with that list
// ask for it. The caller closes it.
func (c *Cache) Past(ctx context.Context, protocol, key string, n int) (io.ReadCloser, error) {
	v, ok, err := c.index.before(ctx, id{protocol, key}, n)
	return c.openVersion(ctx, v, ok, protocol, key, err)
}

// Recheck marks what is held under key as stale: the next Get revalidates it.
func (c *Cache) Recheck(ctx context.Context, protocol, key string) error {
	return c.index.recheck(ctx, id{protocol, key})
}
