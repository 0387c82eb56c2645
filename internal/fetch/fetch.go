package fetch

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/flight"
	"overland/internal/health"
	"overland/internal/progress"
	"overland/internal/store"
)

// Source is a place that may have blobs. It is trusted for nothing.
// Implementations are safe for concurrent use.
type Source interface {
	// Name names the source for people: "site https://10.0.0.1:8443", "volume
	// /media/stick/live.volume". What a Fetcher knows of it stands under this name, or under that
	// of its method ID() string, if it has one.
	Name() string
	// Open returns a reader of blob d from offset off (bytes), and the size of the whole blob or -1
	// when the source does not say. The caller closes rc. A Read that can block ends when ctx does.
	// Errors: fs.ErrNotExist when the source does not have d; ErrNoRange when it can only start at
	// 0; kind Untrusted or Denied when asking again is of no use; anything else may work later.
	Open(ctx context.Context, d digest.Digest, off int64) (rc io.ReadCloser, size int64, err error)
}

// local is a Source whose bytes cost no link. When all sources are, blobs are hashed once, whole: a
// chunk list would save nothing that is dear there.
type local interface{ Local() bool }

// Blob says what is wanted.
type Blob struct {
	Digest digest.Digest
	Size   int64         // bytes; -1 is unknown, and then at most Options.Unknown bytes are taken
	Else   bool          // the caller has somebody else to ask: sources that drip are given up
	Chunks digest.Digest // blob of the raw 32-byte sha256 of each store.ChunkSize bytes; "" is none
}

// Event is the progress of one blob: its step is "fetch", Done counts the bytes on disk, and Total
// is -1 when the size is unknown.
type Event struct {
	progress.Event
	Digest digest.Digest
	Source string // the source now read from
	Moved  int64  // bytes that this call took from sources, wasted ones too
	Waits  int64  // how often a source that fetches the blob itself first said that more has come to it
}

// Options are the settings of a Fetcher. Everything but Sources has a default.
type Options struct {
	Sources  []Source           // in order of preference; SetSources changes them
	Stall    time.Duration      // a source that sends no byte for so long is left; default 30 s
	Attempts int                // tries in a row without a new byte before a source is given up in a call; default 10
	Backoff  time.Duration      // pause after a source's first failure; doubles up to 40 times itself; default 250 ms
	Unknown  int64              // most bytes of a blob of unknown size; default 64 MiB
	Parallel int                // blobs that All fetches at once; default 4
	Progress func(Event)        // called at most every 200 ms for each blob, when a source waits, and at its end; from many goroutines
	Liar     func(*SourceError) // called when a source sent bytes that are not the blob's; from many goroutines
	Log      *slog.Logger       // default: nothing is logged
}

const (
	defaultStall    = 30 * time.Second
	defaultAttempts = 10
	defaultBackoff  = 250 * time.Millisecond
	defaultUnknown  = 64 << 20
	defaultParallel = 4
)

// Fetcher fetches blobs into one store. It is safe for concurrent use. Its memory of which source
// lied about which blob, and of which source is down, lasts as long as it does: make one and keep
// it, and tell it of sources that come and go with SetSources.
type Fetcher struct {
	store  store.Store
	o      Options
	calls  flight.Group[digest.Digest, struct{}] // blobs being fetched now
	health health.Records[string]                // of each source

	mu      sync.Mutex
	sources []Source
	liars   map[liar]error // a source, a blob, and what was wrong
}

// liar is a source, by its id, that lied about a blob.
type liar struct {
	source string
	digest digest.Digest
}

// id returns what the source s is remembered by.
func id(s Source) string {
	if s, ok := s.(interface{ ID() string }); ok {
		return s.ID()
	}
	return s.Name()
}

// New returns a Fetcher into s.
func New(s store.Store, o Options) *Fetcher {
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Attempts <= 0 {
		o.Attempts = defaultAttempts
	}
	if o.Backoff <= 0 {
		o.Backoff = defaultBackoff
	}
	if o.Unknown <= 0 {
		o.Unknown = defaultUnknown
	}
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	return &Fetcher{store: s, o: o, sources: slices.Clone(o.Sources), liars: map[liar]error{}}
}

// SetSources replaces the sources, for the fetches that begin from now on. What is known of a
// source that was there before, or comes back, stays known.
func (f *Fetcher) SetSources(sources ...Source) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sources = slices.Clone(sources)
}

// current returns the sources of a fetch that begins now, and whether the
// bytes of all of them cost no link.
func (f *Fetcher) current() (sources []Source, free bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sources, !slices.ContainsFunc(f.sources, func(s Source) bool {
		return !isLocal(s)
	})
}

func isLocal(s Source) bool {
	l, ok := s.(local)
	return ok && l.Local()
}

// Fetch returns when the store has b, whole and verified: at once when it is there already.
// What arrived stays on disk whatever happens, and the next call goes on from there. Two calls
// for one blob, in one process or in several, move its bytes once. Errors: kind NotFound when
// no source has b, Untrusted when every source left sent other bytes, Unavailable when a source
// may still work later or the disk is full, Invalid for a Blob that cannot be; those about
// sources hold a *SourceError for each.
func (f *Fetcher) Fetch(ctx context.Context, b Blob) error {
	if err := b.check(); err != nil {
		return err
	}
	if there, err := store.Has(ctx, f.store, b.Digest); err != nil {
		return explainDisk(b.Digest, err)
	} else if there {
		return nil
	}
	_, err := f.calls.Do(ctx, b.Digest, func(ctx context.Context, _ *flight.Call[struct{}]) (struct{}, error) {
		return struct{}{}, f.fetch(ctx, b)
	})
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("fetch %s: %w", b.Digest, context.Cause(ctx))
	}
	return err
}

// All fetches every blob, Options.Parallel at once, and returns the first
// error; the rest is then cancelled.
func (f *Fetcher) All(ctx context.Context, blobs []Blob) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(f.o.Parallel)
	for _, b := range blobs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f.Fetch(ctx, b)
		})
	}
	return g.Wait()
}

// Bytes returns blob d, of at most limit bytes, through the store: it is fetched when it is not
// there. So a Fetcher is a store.Getter.
func (f *Fetcher) Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	if err := f.Fetch(ctx, Blob{Digest: d, Size: -1}); err != nil {
		return nil, err
	}
	return f.store.Bytes(ctx, d, limit)
}

func (b Blob) check() error {
	if _, err := digest.Parse(string(b.Digest)); err != nil {
		return errs.E(errs.Invalid, fmt.Errorf("fetch: %w", err))
	}
	if b.Size == 0 && b.Digest != digest.Of(nil) {
		return errs.Errorf(errs.Invalid, "fetch %s: size 0 is the size of another blob", b.Digest)
	}
	if b.Chunks != "" {
		if b.Chunks == b.Digest {
			return errs.Errorf(errs.Invalid, "fetch %s: it cannot be its own chunk list", b.Digest)
		}
		if _, err := digest.Parse(string(b.Chunks)); err != nil {
			return errs.E(errs.Invalid, fmt.Errorf("fetch %s: chunk list: %w", b.Digest, err))
		}
	}
	return nil
}
