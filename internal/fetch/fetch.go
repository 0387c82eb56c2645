package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/progress"
	"overland/internal/store"
)

// Source is a place that may have blobs. It is trusted for nothing. Implementations are safe for concurrent use.
type Source interface {
	// Name names the source for people: "site https://10.0.0.1:8443", "volume /media/stick/live.volume".
	Name() string
	// Open returns a reader of blob d from offset off (bytes), and the size of the whole blob or -1 when the source
	// does not say. The caller closes rc. A Read that can block ends when ctx does. Errors: fs.ErrNotExist when the
	// source does not have d; ErrNoRange when it can only start at 0; kind Untrusted or Denied when asking again is of
	// no use; anything else may work later.
	Open(ctx context.Context, d digest.Digest, off int64) (rc io.ReadCloser, size int64, err error)
}

// local is a Source whose bytes cost no link. When all sources are, blobs are hashed once, whole: a chunk list would
// save nothing that is dear there.
type local interface{ Local() bool }

// Blob says what is wanted.
type Blob struct {
	Digest digest.Digest
	Size   int64         // bytes; -1 is unknown, and then at most Options.Unknown bytes are taken
	Chunks digest.Digest // blob of the raw 32-byte sha256 of each store.ChunkSize bytes; "" is none
}

// Event is the progress of one blob: its step is "fetch", Done counts the bytes on disk, and Total is -1 when the size
// is unknown.
type Event struct {
	progress.Event
	Digest digest.Digest
	Source string // the source now read from
	Moved  int64  // bytes that this call took from sources, wasted ones too
	Waits  int64  // how often a source that fetches the blob itself first said that more has come to it
}

// Options are the settings of a Fetcher. Everything but Sources has a default.
type Options struct {
	Sources  []Source           // in order of preference
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

// Fetcher fetches blobs into one store. It is safe for concurrent use. Its memory of which source lied about which
// blob, and of which source is down, lasts as long as it does: make one and keep it.
type Fetcher struct {
	store *store.Store
	o     Options
	local bool // all sources are

	mu     sync.Mutex
	calls  map[digest.Digest]*call // blobs being fetched now
	liars  map[liar]error          // a source, a blob, and what was wrong
	health []health                // of each source
}

type call struct {
	done chan struct{}
	err  error // read after done
}

type liar struct {
	source int
	digest digest.Digest
}

// New returns a Fetcher into s.
func New(s *store.Store, o Options) *Fetcher {
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Fetcher{
		store: s, o: o,
		local: !slices.ContainsFunc(o.Sources, func(s Source) bool {
			l, ok := s.(local)
			return !ok || !l.Local()
		}),
		calls:  map[digest.Digest]*call{},
		liars:  map[liar]error{},
		health: make([]health, len(o.Sources)),
	}
}

// Fetch returns when the store has b, whole and verified: at once when it is there already. What arrived stays on disk
// whatever happens, and the next call goes on from there. Two calls for one blob, in one process or in several, move
// its bytes once. Errors: kind NotFound when no source has b, Untrusted when every source left sent other bytes,
// Unavailable when a source may still work later or the disk is full, Invalid for a Blob that cannot be; those about
// sources hold a *SourceError for each.
func (f *Fetcher) Fetch(ctx context.Context, b Blob) error {
	if err := b.check(); err != nil {
		return err
	}
	for {
		if f.store.Has(b.Digest) {
			return nil
		}
		f.mu.Lock()
		other := f.calls[b.Digest]
		mine := &call{done: make(chan struct{})}
		if other == nil {
			f.calls[b.Digest] = mine
		}
		f.mu.Unlock()
		if other == nil {
			mine.err = f.fetch(ctx, b)
			f.mu.Lock()
			delete(f.calls, b.Digest)
			f.mu.Unlock()
			close(mine.done)
			return mine.err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("fetch %s: %w", b.Digest, context.Cause(ctx))
		case <-other.done:
			// The other caller's patience ended, not the sources: go on in its place.
			if !errors.Is(other.err, context.Canceled) && !errors.Is(other.err, context.DeadlineExceeded) {
				return other.err
			}
		}
	}
}

// All fetches every blob, Options.Parallel at once, and returns the first error; the rest is then cancelled.
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

// Bytes returns blob d, of at most limit bytes, through the store: it is fetched when it is not there. So a Fetcher is
// a store.Getter.
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
