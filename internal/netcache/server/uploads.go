package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/store"
)

const (
	uploadPrefix = "netcache-" // of the ids of uploads, which no fetch of a blob goes on with
	idDigits     = 24
	uploadSlots  = 4    // of one writer for one blob at once: two of its machines may be sending it
	ownUploads   = 16   // of one writer that are not complete
	allUploads   = 1024 // of all
	blobsWaiting = 2    // times the largest blob: bytes of one writer's that are not complete
	quiet        = time.Second
	ownWrites    = 32 // of one writer at once
)

// uploadsOf returns what the ids of writer's uploads begin with.
func uploadsOf(writer string) string { return uploadPrefix + short(writer) + "-" }

func short(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:idDigits]
}

// begin resumes the writer's upload of p, or starts one. When another connection of the same writer
// has it, that one goes on if anything comes there, and this is an upload beside it; else it is
// taken for dead. Errors: kind Unavailable when the writer has too many.
func (s *Shelf) begin(ctx context.Context, writer, name string, p Part, limit int64) (store.Upload, *holder, error) {
	base := uploadsOf(writer) + short(name, string(p.Sum), strconv.FormatInt(p.Size, 10), p.ID) + "-"
	for slot := range uploadSlots {
		id := base + strconv.Itoa(slot)
		if err := s.admit(ctx, writer, id, p.Size, limit); err != nil {
			return nil, nil, err
		}
		in, err := s.depot.Begin(ctx, id, p.Size)
		if errors.Is(err, store.ErrBusy) && s.held.free(ctx, id) {
			in, err = s.depot.Begin(ctx, id, p.Size)
		}
		if errors.Is(err, store.ErrBusy) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		return in, s.held.hold(id, p.Stop), nil
	}
	return nil, nil, tooMany("this blob is being sent %d times by the same writer already", uploadSlots)
}

// pending is an upload that is not complete.
type pending struct {
	id   string
	size int64
	last time.Time
}

// owner is the part of an id that says whose it is.
func (p pending) owner() string { return p.id[:len(uploadPrefix)+idDigits] }

// admit makes room for one more upload of writer, called id, of size bytes: its own oldest goes, or, when
// all writers together have too many, the oldest of the one that has the most.
func (s *Shelf) admit(ctx context.Context, writer, id string, size, limit int64) error {
	by := map[string][]pending{} // owner
	all, resumed := 0, false
	err := s.depot.Pending(ctx, uploadPrefix, func(name string, n int64, last time.Time) error {
		if len(name) < len(uploadPrefix)+idDigits {
			return nil // not one of ours
		}
		u := pending{name, n, last}
		by[u.owner()] = append(by[u.owner()], u)
		all++
		resumed = resumed || name == id
		return nil
	})
	if err != nil || resumed {
		return err
	}
	own, bytes := by[pending{id: uploadsOf(writer)}.owner()], size
	for _, u := range own {
		bytes += u.size
	}
	for len(own) >= ownUploads || bytes > blobsWaiting*limit && len(own) > 0 {
		var gone pending
		if own, gone = s.dropOldest(ctx, own); gone.id == "" {
			return tooMany("too many uploads of this writer are under way")
		}
		bytes -= gone.size
		all--
	}
	if all < allUploads {
		return nil
	}
	var most []pending
	for _, theirs := range by {
		if len(theirs) > len(most) {
			most = theirs
		}
	}
	if _, gone := s.dropOldest(ctx, most); gone.id == "" {
		return tooMany("too many uploads are under way")
	}
	return nil
}

// dropOldest discards the upload of list that nobody is sending and that got its last byte first, and
// returns the others; the zero pending when each is being sent.
func (s *Shelf) dropOldest(ctx context.Context, list []pending) ([]pending, pending) {
	slices.SortStableFunc(list, func(a, b pending) int { return a.last.Compare(b.last) })
	for i, u := range list {
		if in, err := s.depot.Begin(ctx, u.id, -1); err == nil && in.Discard() == nil {
			return list[i+1:], u
		}
	}
	return nil, pending{}
}

// holders are the uploads that this process is reading, by id.
type holders struct {
	mu sync.Mutex
	by map[string]*holder
}

// holder is one connection that brings a part.
type holder struct {
	id    string
	stop  func()
	came  atomic.Int64 // bytes
	ended atomic.Bool
	done  chan struct{}
}

func (h *holders) hold(id string, stop func()) *holder {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by == nil {
		h.by = map[string]*holder{}
	}
	u := &holder{id: id, stop: stop, done: make(chan struct{})}
	h.by[id] = u
	return u
}

func (h *holders) drop(u *holder) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.by[u.id] == u {
		delete(h.by, u.id)
	}
	close(u.done)
}

// free returns whether the upload id is nobody's any more: its holder ended meanwhile, or nothing
// came from it for a moment and it was ended.
func (h *holders) free(ctx context.Context, id string) bool {
	h.mu.Lock()
	u := h.by[id]
	h.mu.Unlock()
	if u == nil {
		return false // another process has it, or it ended this very moment
	}
	before := u.came.Load()
	if u.wait(ctx, quiet) {
		return true
	}
	if u.came.Load() != before || u.stop == nil {
		return false
	}
	u.ended.Store(true)
	u.stop()
	return u.wait(ctx, quiet)
}

// wait reports whether u has ended within d.
func (u *holder) wait(ctx context.Context, d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-u.done:
		return true
	case <-ctx.Done():
	case <-late.C:
	}
	return false
}

// over returns r as a reader that knows what came, and ends when another connection takes over.
func (u *holder) over(r io.Reader) io.Reader { return &counted{r, u} }

type counted struct {
	r io.Reader
	u *holder
}

func (c *counted) Read(p []byte) (int, error) {
	if c.u.ended.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.r.Read(p)
	c.u.came.Add(int64(n))
	return n, err
}

// tooMany is an error of kind Unavailable with status 429 (RFC 6585 §4).
func tooMany(format string, args ...any) error {
	return httpx.WithStatus(errs.Errorf(errs.Unavailable, format, args...), http.StatusTooManyRequests)
}

// writers count what each writer is sending, or each reader fetching.
type writers struct {
	mu sync.Mutex
	by map[string]int
}

// enter counts one more of writer, until end is called. Errors: kind Unavailable when there are too many.
func (w *writers) enter(writer string, most int) (end func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]int{}
	}
	if w.by[writer] >= most {
		return nil, tooMany("this client has %d blobs on their way already", most)
	}
	w.by[writer]++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.by[writer]--; w.by[writer] == 0 {
			delete(w.by, writer)
		}
	}, nil
}
