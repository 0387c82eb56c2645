package record

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"overland/internal/flight"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/store"
)

const (
	// streamedFrom is the length in bytes from which an answer is handed on while it comes. A shorter
	// one is there soon, with its digest, unless the link is slow.
	streamedFrom = 256 << 10
	soon         = time.Second
	lastPiece    = 4 << 10 // bytes that are kept back until the whole is proved
)

// stream is where a Get says that the bytes have begun to come.
type stream struct {
	flow  atomic.Pointer[origin.Flow]
	begun chan struct{}
}

type streamKey struct{}

// Doubter is a Protocol whose Check takes the bytes of some items as they come.
type Doubter interface {
	// Proves reports whether the bytes of it must be the ones that a digest names.
	Proves(it Item) bool
}

func proves(p Protocol, it Item) bool {
	d, ok := p.(Doubter)
	return !ok || d.Proves(it)
}

// Join joins the call of key in g, or starts it with work, for a Get with that ctx. If that is an
// HTTP client's, it may get the bytes while they come, and once they do the call goes on without it:
// clients that give up come back.
func Join[K comparable, V any](ctx context.Context, g *flight.Group[K, V], key K, work flight.Work[V]) *flight.Call[V] {
	c, _ := g.Join(ctx, key, work)
	Report(ctx, c.Progress)
	s, ok := ctx.Value(streamKey{}).(*stream)
	if !ok {
		return c
	}
	look := func() {
		if f, ok := c.Shared().(*origin.Flow); ok && s.flow.CompareAndSwap(nil, f) {
			c.Keep()
			close(s.begun)
		}
	}
	c.Listen(look)
	look()
	return c
}

// Share returns ask for c: what comes can be read by those who joined it.
func Share[V any](ask origin.Request, c *flight.Call[V]) origin.Request {
	ask.Begun = func(f *origin.Flow) { c.Share(f) }
	return ask
}

// Whole returns ctx for a Get whose client waits for the whole.
func Whole(ctx context.Context) context.Context { return context.WithValue(ctx, streamKey{}, nil) }

// got is what a Get returned.
type got struct {
	entry lockfile.Entry
	blob  store.Blob
	err   error
}

// get returns what g has for it. When the bytes come slowly and are handed on as they are, it writes
// them to w meanwhile, and reports that the answer has been given.
func get(w http.ResponseWriter, r *http.Request, g Getter, p Protocol, it Item, base string) (end got, given bool) {
	ctx, done := Follow(r.Context())
	work := func() (err error) {
		end.entry, end.blob, err = g.Get(ctx, p, it)
		end.err = err
		return err
	}
	s := &stream{begun: make(chan struct{})}
	ctx = context.WithValue(ctx, streamKey{}, s)
	if !streams(r, it) {
		_ = httpx.Wait(w, r, done, work)
		return end, false
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = work()
	}()
	late := time.NewTimer(soon)
	defer late.Stop()
	for begun, much := s.begun, false; ; {
		select {
		case <-ended:
			return end, false
		case <-late.C:
			much = true
		case <-begun:
			begun = nil
			much = much || s.flow.Load().Size() >= streamedFrom
		}
		if f := s.flow.Load(); f != nil && begun == nil && much {
			h := headOf(p, it, f, base)
			from, _ := offset(r)
			cuts := f.Size() >= 0 || r.ProtoAtLeast(1, 1) // HTTP/1.0 takes a cut for the end when no length was said
			if h != nil && cuts && (from == 0 || from < f.Size()-lastPiece) {
				// What has come whole meanwhile may be closed already: it is answered as any other.
				if in, err := f.Open(r.Context()); err == nil {
					defer in.Close()
					pour(w, r, f, in, h, ended, &end)
					return end, true
				}
			}
			<-ended
			return end, false
		}
	}
}

// streams reports whether r may be answered before it is known what the answer is: one under a
// condition may not, and of parts only the rest from some byte on, which resuming clients ask for.
func streams(r *http.Request, it Item) bool {
	if _, ok := offset(r); r.Header.Get("Range") != "" && (!ok || it.Whole) {
		return false
	}
	for _, name := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since"} {
		if r.Header.Get(name) != "" {
			return false
		}
	}
	return it.Method == "" && !httpx.Waits(r)
}

// offset returns the first byte that r asks for: 0 without a range, or when that holds only for a
// version (If-Range) that has no name yet. false for any other range than "bytes=N-".
func offset(r *http.Request) (n int64, ok bool) {
	s := r.Header.Get("Range")
	if s == "" || r.Header.Get("If-Range") != "" {
		return 0, true
	}
	s, ok = strings.CutPrefix(s, "bytes=")
	s, open := strings.CutSuffix(s, "-")
	if !ok || !open || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// headOf returns the header of an answer with the bytes of f; nil when p serves others.
func headOf(p Protocol, it Item, f *origin.Flow, base string) http.Header {
	switch {
	case it.Whole && !alike(it.Header, f):
		return nil // it is the answer to another question
	case it.Whole:
		return headerOf(lockfile.Entry{Header: fieldsOf(f.Header, f.MediaType), MediaType: f.MediaType})
	case f.Header.Get("Content-Encoding") != "":
		return nil // what it serves is what was encoded
	}
	as := strings.NewReader("")
	body, media, err := p.Serve(it, entryOf(it, "", max(f.Size(), 0), f.MediaType), as, base)
	if err != nil || body != io.Reader(as) {
		return nil
	}
	return http.Header{"Content-Type": {media}}
}

// alike reports whether a request with the header h is the one that f answers, in all that its origin
// says it heeds: clients join a transfer before that is known.
func alike(h http.Header, f *origin.Flow) bool {
	for _, name := range varied(fieldsOf(f.Header, f.MediaType)) {
		if asked(h, name) != asked(f.Asked, name) {
			return false
		}
	}
	return true
}

// pour writes f, read from in, to w. The last bytes are kept back until end says that they are proved; else the
// connection is cut, so that no client takes what came for the whole.
func pour(w http.ResponseWriter, r *http.Request, f *origin.Flow, in io.Reader, h http.Header, ended <-chan struct{}, end *got) {
	cut := func() {
		<-ended
		if end.blob != nil {
			_ = end.blob.Close()
		}
		panic(http.ErrAbortHandler)
	}
	size, status := f.Size(), http.StatusOK
	from, _ := offset(r)
	for name, values := range h {
		w.Header()[name] = values
	}
	if size >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(size-from, 10))
	}
	if from > 0 {
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, size-1, size))
	}
	control := http.NewResponseController(w)
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		_ = control.Flush() // where it is not supported, the client waits
		<-ended
		if end.blob != nil {
			_ = end.blob.Close()
		}
		return
	}
	if _, err := io.CopyN(io.Discard, in, from); err != nil {
		cut()
	}
	buf := make([]byte, 64<<10)
	kept := 0
	for sent := from; ; {
		n, err := in.Read(buf[kept:])
		n += kept
		kept = 0
		if err != nil || size < 0 || sent+int64(n) >= size {
			kept = min(n, lastPiece)
		}
		if n > kept {
			if _, err := w.Write(buf[:n-kept]); err != nil {
				cut()
			}
			sent += int64(n - kept)
			_ = control.Flush()
		}
		copy(buf, buf[n-kept:n])
		if err != nil && err != io.EOF {
			cut()
		}
		if err == io.EOF {
			break
		}
	}
	<-ended
	if end.err != nil || end.blob == nil || end.entry.Blob != f.Digest() || size >= 0 && end.entry.Size != size {
		cut()
	}
	_ = end.blob.Close()
	_, _ = w.Write(buf[:kept])
}
