package cache_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"overland/internal/cache"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/record"
)

func TestServesWithUpstreamDead(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("a.zip", "alpha")
	b.want(b, "a.zip", "alpha")
	b.origin.trouble(broken)
	b.later(1000 * time.Hour)
	b.want(b, "a.zip", "alpha")
	b.reopen()
	b.want(b, "a.zip", "alpha")
	b.asked("a.zip", 1)
	b.wantErr(b, "b.zip", errs.Unavailable)
}

func TestIndexIsAskedForAgain(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("i/x", "one")
	b.want(b, "i/x", "one")
	b.origin.set("i/x", "two")
	b.want(b, "i/x", "one")
	b.asked("i/x", 1)
	b.later(cache.DefaultFresh)
	b.want(b, "i/x", "two")
	b.later(cache.DefaultFresh)
	b.want(b, "i/x", "two") // 304
	b.asked("i/x", 3)
	b.want(b, "i/x", "two")
	b.asked("i/x", 3)
	if n := b.blobs(); n != 2 {
		t.Errorf("%d blobs, want both versions", n)
	}
}

// An origin that encodes what it was asked for as it is: clients get what it encoded, and a revalidation
// finds it unchanged.
func TestWhatAnOriginEncodesIsHeldAsItIs(t *testing.T) {
	b := newBench(t, nil)
	b.origin.trouble(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Etag", `"one"`)
		if r.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, "one of "+r.URL.Path)
		return z.Close() == nil
	})
	b.want(b, "i/x", "one of /i/x")
	b.want(b, "a.zip", "one of /a.zip")
	b.later(cache.DefaultFresh)
	b.want(b, "i/x", "one of /i/x")
	b.asked("i/x", 2)
	if n := b.blobs(); n != 2 {
		t.Errorf("%d blobs", n)
	}
}

func TestStaleIfError(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("i/x", "one")
	b.origin.set("i/y", "why")
	b.want(b, "i/x", "one")
	b.want(b, "i/y", "why")
	b.later(time.Hour)
	b.origin.trouble(broken)
	b.want(b, "i/x", "one")
	n := b.origin.requests("i/x")
	b.want(b, "i/x", "one")
	b.want(b, "i/y", "why")
	b.asked("i/x", n) // it is known to be down
	b.asked("i/y", 1)
	b.origin.trouble(nil)
	b.origin.set("i/x", "two")
	b.later(cache.Downtime)
	b.want(b, "i/x", "two")
}

// A failed proof is never covered up by a stale answer, and never stored.
func TestTamperedIndex(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("i/x", "one")
	b.want(b, "i/x", "one")
	b.origin.set("i/x", "BAD")
	b.later(time.Hour)
	b.wantErr(b, "i/x", errs.Untrusted)
	b.origin.set("i/x", "two")
	b.want(b, "i/x", "two")
	if n := b.blobs(); n != 2 {
		t.Errorf("%d blobs, want 2", n)
	}
}

// When there is a stale answer, a client does not wait for a silent
// upstream; a late answer is kept.
func TestSlowUpstream(t *testing.T) {
	b := newBench(t, func(b *bench) { b.o.Patience = time.Millisecond })
	b.origin.set("i/x", "one")
	b.want(b, "i/x", "one")
	b.origin.set("i/x", "two")
	b.later(time.Hour)
	open := make(chan struct{})
	b.origin.trouble(func(http.ResponseWriter, *http.Request) bool { <-open; return false })
	b.want(b, "i/x", "one")
	close(open)
	for b.Calls() > 0 {
		runtime.Gosched()
	}
	b.want(b, "i/x", "two")
	b.asked("i/x", 2)
}

func TestAbsent(t *testing.T) {
	b := newBench(t, nil)
	b.want(b, "a.zip", "404")
	b.origin.set("a.zip", "alpha")
	b.want(b, "a.zip", "404")
	b.asked("a.zip", 1)
	b.later(cache.DefaultAbsent)
	b.want(b, "a.zip", "alpha")
	b.asked("a.zip", 2)
}

func TestOffline(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("i/x", "one")
	b.want(b, "i/x", "one")
	if err := b.SetOffline(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	b.later(time.Hour)
	b.want(b, "i/x", "one")
	if err := b.wantErr(b, "i/y", errs.Unavailable); errs.HintOf(err) == "" {
		t.Error("no hint")
	}
	b.asked("i/x", 1)
	b.asked("i/y", 0)
	if err := b.SetOffline(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	b.origin.set("i/x", "two")
	b.want(b, "i/x", "two")
}

func TestOneTransferForAll(t *testing.T) {
	b := newBench(t, nil)
	body := strings.Repeat("0123456789abcdef", 4096)
	b.origin.set("big.zip", body)
	const clients = 2000
	open := make(chan struct{})
	b.origin.trouble(func(http.ResponseWriter, *http.Request) bool { <-open; return false })
	var wg sync.WaitGroup
	wrong := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			if got, err := read(t.Context(), b, b.p, "big.zip"); err != nil || got != body {
				wrong <- fmt.Errorf("%d bytes, %w", len(got), err)
			}
		})
	}
	for waiting := 0; waiting < clients/2; { // many of them wait before the first byte comes
		runtime.Gosched()
		waiting = b.Waiters("fix", "big.zip")
	}
	close(open)
	wg.Wait()
	close(wrong)
	for err := range wrong {
		t.Fatal(err)
	}
	b.asked("big.zip", 1)
}

// A client that gives up does not end the transfer for the others. When all give up it ends, and
// the next one starts from the beginning.
func TestClientsGiveUp(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("a.zip", "alpha")
	asked, open := make(chan struct{}, 9), make(chan struct{})
	b.origin.trouble(func(_ http.ResponseWriter, r *http.Request) bool {
		asked <- struct{}{}
		select {
		case <-open:
		case <-r.Context().Done():
		}
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := read(ctx, b, b.p, "a.zip"); first <- err }()
	<-asked
	cancel()
	if err := <-first; errs.KindOf(err) != errs.Cancelled {
		t.Errorf("got %v", err)
	}
	close(open)
	b.want(b, "a.zip", "alpha")
	b.asked("a.zip", 2)
}

// Upstreams that break in every way leave nothing in the depot, and the next try succeeds.
func TestUpstreamBreaks(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1<<14)
	for name, trouble := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"500":  broken,
		"cut":  func(w http.ResponseWriter, r *http.Request) bool { cut(w, body, 1000); return true },
		"html": func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, "<!DOCTYPE html>log in"); return true },
		"loop": func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, nil)
			b.origin.set("a.zip", body)
			b.origin.trouble(trouble)
			b.wantErr(b, "a.zip", errs.Unavailable)
			if n := b.blobs(); n != 0 {
				t.Errorf("%d blobs of an answer that did not come", n)
			}
			b.origin.trouble(nil)
			b.want(b, "a.zip", body)
		})
	}
}

// cut promises all of body and sends its first n bytes.
func cut(w http.ResponseWriter, body string, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	fmt.Fprint(w, body[:n])
	panic(http.ErrAbortHandler)
}

// A transfer that is cut off once resumes where it stopped.
func TestResumes(t *testing.T) {
	b := newBench(t, nil)
	body := strings.Repeat("0123456789abcdef", 1<<16)
	b.origin.set("a.zip", body)
	var ranges []string
	b.origin.trouble(func(w http.ResponseWriter, r *http.Request) bool {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) == 1 {
			w.Header().Set("Etag", fmt.Sprintf(`"%d-%.20s"`, len(body), body))
			cut(w, body, len(body)/2)
		}
		return false
	})
	b.want(b, "a.zip", body)
	if len(ranges) != 2 || ranges[0] != "" || !strings.HasPrefix(ranges[1], "bytes=") || ranges[1] == "bytes=0-" {
		t.Errorf("asked for %q", ranges)
	}
}

func TestDiskFull(t *testing.T) {
	var full bool
	b := newBench(t, func(b *bench) {
		b.fs.Before = func(op fsx.Op) error {
			if full && op.Name == "link" { // a new name needs room too
				return syscall.ENOSPC
			}
			return nil
		}
	})
	b.origin.set("i/x", "one")
	b.want(b, "i/x", "one")
	full = true
	b.origin.set("i/x", "two")
	b.origin.set("a.zip", "alpha")
	b.wantErr(b, "a.zip", errs.Unavailable)
	b.later(time.Hour)
	b.want(b, "i/x", "one") // better than nothing
	if n := b.blobs(); n != 1 {
		t.Errorf("%d blobs, want 1", n)
	}
	full = false
	b.want(b, "a.zip", "alpha")
	b.later(time.Hour)
	b.want(b, "i/x", "two")
}

// If something that never changes comes back changed after it was
// evicted, the error has both digests.
func TestChangedContent(t *testing.T) {
	b := newBench(t, func(b *bench) { b.o.Limit = 1 })
	b.origin.set("a.zip", "alpha")
	b.want(b, "a.zip", "alpha")
	b.later(time.Hour)
	if n, err := b.Evict(t.Context()); err != nil || n != 5 {
		t.Fatalf("evicted %d bytes, %v", n, err)
	}
	b.origin.set("a.zip", "omega")
	err := b.wantErr(b, "a.zip", errs.Conflict)
	if c := (*record.ChangedError)(nil); !errors.As(err, &c) || c.Locked == c.Got {
		t.Errorf("got %v", err)
	}
	b.origin.set("a.zip", "alpha")
	b.want(b, "a.zip", "alpha")
}

// A blob that somebody removed is fetched again.
func TestLostBlob(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("a.zip", "alpha")
	e, blob, err := b.Get(t.Context(), b.p, b.p.item("a.zip"))
	if err != nil {
		t.Fatal(err)
	}
	blob.Close()
	if err := b.store.Remove(t.Context(), e.Blob); err != nil {
		t.Fatal(err)
	}
	b.want(b, "a.zip", "alpha")
	b.asked("a.zip", 2)
}

// A name that does not resolve counts as a failing upstream: what is held is served, also what can
// change.
func TestDNSIsDead(t *testing.T) {
	var dead atomic.Bool
	b := newBench(t, func(b *bench) {
		address := b.origin.Listener.Addr().String()
		tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			if dead.Load() {
				return nil, &net.DNSError{Err: "server misbehaving", Name: "origin.example", IsTemporary: true}
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
		t.Cleanup(tr.CloseIdleConnections)
		b.o.Upstream.Transport = tr
		b.p = fixture{"http://origin.example"}
	})
	b.origin.set("i/x", "one")
	b.origin.set("a.zip", "alpha")
	b.want(b, "i/x", "one")
	b.want(b, "a.zip", "alpha")
	dead.Store(true)
	b.later(time.Hour)
	b.want(b, "i/x", "one")
	b.want(b, "a.zip", "alpha")
	if err := b.wantErr(b, "b.zip", errs.Unavailable); !strings.Contains(err.Error(), "origin.example") {
		t.Errorf("error %v", err)
	}
}

// What is to be answered at once is, however old, while upstream says nothing at all; what that says in the end is for
// those who come later. One that failed is left alone for a while.
func TestAnsweredAtOnce(t *testing.T) {
	b := newBench(t, nil)
	b.origin.set("i/tags/x", "one")
	b.want(b, "i/tags/x", "one")
	b.later(cache.DefaultFresh)
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	b.origin.trouble(func(http.ResponseWriter, *http.Request) bool {
		asked <- struct{}{}
		<-answer
		return false
	})
	b.origin.set("i/tags/x", "two")
	b.want(b, "i/tags/x", "one")
	b.want(b, "i/tags/x", "one")
	<-asked
	close(answer)
	end := time.After(time.Minute)
	for {
		text, err := read(t.Context(), b, b.p, "i/tags/x")
		if err != nil {
			t.Fatal(err)
		}
		if text == "two" {
			break
		}
		select {
		case <-end:
			t.Fatal("what upstream said never came")
		case <-time.After(time.Millisecond):
		}
	}
	b.asked("i/tags/x", 2)
	b.origin.trouble(nil)
	b.origin.Close()
	b.later(cache.DefaultFresh)
	for range 3 {
		b.want(b, "i/tags/x", "two")
	}
}
