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
	downtime        = 30 * time.Second // for which an upstream that failed is not asked again while there is a stale answer
)

// Options are the settings of a Cache. All but Facts may be zero.
type Options struct {
	Upstream *origin.Client // how things are fetched; nil = the defaults, with what is on its way in the cache's directory
	Near     Near           // asked before upstream; nil = nobody is
	Fresh    time.Duration  // how long what can change is served without asking upstream; 0 = DefaultFresh
	Absent   time.Duration  // how long "there is no such thing" is believed; 0 = DefaultAbsent
	Patience time.Duration  // how long upstream is waited for when there is a stale answer; 0 = DefaultPatience
	Offline  bool           // never ask upstream, whatever SetOffline says
	Limit    int64          // bytes that answers may take on the disk; 0 = no limit
	// Roots returns the blobs that eviction must keep, whatever the limit: what locks and releases name. nil = none.
	Roots func(ctx context.Context) (map[digest.Digest]bool, error)
	Facts Facts        // freezes and the offline switch; needed
	Clock clock.Clock  // nil = the machine's
	Log   *slog.Logger // nil = nothing is logged
}

// Cache is the pull-through cache. It is safe for concurrent use. The caller ends it with Close.
type Cache struct {
	store Depot
	index *index
	facts Facts
	o     Options

	gate sync.RWMutex // held for reading between a blob's coming and its row's, for writing by eviction

	calls flight.Group[asked, answer]
	down  health.Memory[string] // hosts that failed

	mu     sync.Mutex
	used   map[id]time.Time // last uses that the index does not know yet
	fixed  map[id]version   // of what never changes, what the index is known to hold: a query costs more than 10 kB sent
	bound  map[bound]bool   // what bind has done
	spoken []record.Protocol
}

// Depot is where a Cache keeps bytes: a site's, which others use too.
type Depot interface {
	store.Blobs
	store.Stager
	// Claim notes that the cache names blobs of the depot: a collection that does not ask it is refused.
	Claim(name string) error
	// Retire removes blob d unless somebody touched it after since.
	Retire(d digest.Digest, since time.Time) (removed bool, err error)
}

// Open opens the cache whose index is in the directory dir and whose bytes are in s; what is missing is made.
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
		used: map[id]time.Time{}, fixed: map[id]version{}, bound: map[bound]bool{},
	}, nil
}

// Close ends the transfers under way, waits for them, and writes down what is known of last uses.
func (c *Cache) Close() error {
	c.calls.Close()
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

// answer is what a request gets: a version, or the status of what does not exist.
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
		// Evicted, or removed by somebody else, between the look and the opening: it is fetched again, once.
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
		return c.hit(v), nil // open finds out whether the blob is still there
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
	status, err := c.index.absent(ctx, i, now)
	if err != nil {
		return answer{}, err
	}
	if status != 0 {
		return gone(it, status), nil
	}
	offline, err := c.Offline(ctx)
	offline = offline || httpx.OnlyIfCached(ctx) // another site's request that is to end here
	switch {
	case err != nil:
		return answer{}, err
	case held && (offline || c.down.Has(host(it))):
		return c.hit(old), nil
	case httpx.OnlyIfCached(ctx):
		return answer{}, errs.Errorf(errs.NotFound, "%s %s is not cached here, and the requester is our own upstream", it.Protocol, it.Key)
	case offline:
		return answer{}, errs.Hint(errs.Errorf(errs.Unavailable, "%s %s is not held, and the cache is offline", it.Protocol, it.Key),
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
	c.o.Log.Warn("upstream fails: a stale answer is served", "protocol", it.Protocol, "key", it.Key, "error", err)
	return c.hit(old), nil
}

// rememberLimit is how many versions are remembered, of about 600 bytes each.
const rememberLimit = 1 << 14

func (c *Cache) remembered(i id) (version, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.fixed[i]
	return v, ok
}

// remember keeps v, of what never changes, at hand.
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

// tolerable reports whether a stale answer is better than err. A broken proof is never tolerable.
func tolerable(err error) bool {
	return errs.KindOf(err) == errs.Unavailable || fsx.IsFull(err) || errors.Is(err, flight.ErrSlow)
}

// fresh reports whether something of the moment then is younger than age. A clock that went back makes nothing fresh.
func fresh(then, now time.Time, age time.Duration) bool {
	return !then.After(now) && now.Sub(then) < age
}

// hit notes the use of v and returns it as an answer.
func (c *Cache) hit(v version) answer {
	c.mu.Lock()
	c.used[v.id] = c.now()
	c.mu.Unlock()
	return answer{v.entry(), v}
}

func gone(it record.Item, status int) answer {
	return answer{entry: lockfile.Entry{Protocol: it.Protocol, Key: it.Key, Status: status, Mutable: true}}
}

// host is what fails together: a host, or everything of a protocol whose items have no address yet.
func host(it record.Item) string {
	if u, err := url.Parse(it.Upstream); err == nil {
		return cmp.Or(u.Host, it.Protocol)
	}
	return it.Upstream
}

// lookup opens what the cache holds of protocol.
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
		return nil, errs.Errorf(errs.NotFound, "%s %s is not held", protocol, key)
	}
	b, err := c.store.Open(ctx, v.blob)
	if err == nil {
		c.hit(v) // what proves others is in use: without it they could not be fetched
	}
	return b, err
}

// Past opens what the cache held under key before the newest n versions: errs.NotFound when there is nothing. Origins
// give what an older list named for a while, and machines that have that list ask for it. The caller closes it.
func (c *Cache) Past(ctx context.Context, protocol, key string, n int) (io.ReadCloser, error) {
	v, ok, err := c.index.before(ctx, id{protocol, key}, n)
	return c.openVersion(ctx, v, ok, protocol, key, err)
}

// Recheck has what can change under key asked for again the next time, however fresh it is.
func (c *Cache) Recheck(ctx context.Context, protocol, key string) error {
	return c.index.recheck(ctx, id{protocol, key})
}
