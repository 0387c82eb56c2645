package origin_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/origin"
)

// resumed answers the first request with a piece and a validator, and hands every later one on.
func resumed(set func(http.Header), later http.HandlerFunc) http.HandlerFunc {
	first := true
	return func(w http.ResponseWriter, r *http.Request) {
		if !first {
			later(w, r)
			return
		}
		first = false
		set(w.Header())
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:20_000])
	}
}

func etag(h http.Header) { h.Set("Etag", `"v1"`) }

// part answers with the bytes from 20,000 on, of a whole that is said to have total bytes.
func part(w http.ResponseWriter, total int) {
	rest := content[20_000:]
	w.Header().Set("Content-Range", fmt.Sprintf("bytes 20000-%d/%d", len(content)-1, total))
	w.Header().Set("Content-Length", strconv.Itoa(len(rest)))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(rest)
}

// Only a validator that says that the bytes are the same ones lets a transfer go on: neither a weak
// one, nor the date of a server that does not know ranges.
func TestWhatIsNoValidator(t *testing.T) {
	for name, set := range map[string]func(http.Header){
		"weak": func(h http.Header) { h.Set("Etag", `W/"v1"`) },
		"date": func(h http.Header) { h.Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT") },
	} {
		s := newServer(t, resumed(set, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				t.Errorf("%s: asked for %s", name, r.Header.Get("Range"))
			}
			_, _ = w.Write(content)
		}))
		var m memory
		if _, err := quick(t).GetInto(t.Context(), want(s.URL, "x"), &m); err != nil || !bytes.Equal(m.Bytes(), content) {
			t.Errorf("%s: %d bytes, %v", name, m.Len(), err)
		}
	}
}

// A part of a whole of another size is not appended.
func TestAPartOfAnotherWhole(t *testing.T) {
	s := newServer(t, resumed(etag, func(w http.ResponseWriter, _ *http.Request) { part(w, len(content)+1) }))
	r := want(s.URL, "x")
	r.Size = int64(len(content))
	if _, err := quick(t).GetInto(t.Context(), r, &memory{}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
}

// What never changes is asked for anew, whole, after a part that does not fit or a
// range that the origin refuses.
func TestAfterAWrongPartTheWholeIsAskedFor(t *testing.T) {
	for name, wrong := range map[string]http.HandlerFunc{
		"part":    func(w http.ResponseWriter, _ *http.Request) { part(w, len(content)+1) },
		"refused": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
	} {
		s := newServer(t, resumed(etag, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				wrong(w, r)
				return
			}
			_, _ = w.Write(content)
		}))
		r := want(s.URL, "x")
		r.Fixed, r.Size = true, int64(len(content))
		var m memory
		if _, err := quick(t).GetInto(t.Context(), r, &m); err != nil || !bytes.Equal(m.Bytes(), content) || s.asked.Load() != 3 {
			t.Errorf("%s: %d bytes, asked %d times, %v", name, m.Len(), s.asked.Load(), err)
		}
	}
}

// The sink holds the answer of one URL, also when another one broke off and then
// said that there is no such thing.
func TestTheNextOneBeginsAnew(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	broken := newServer(t, resumed(etag, http.NotFound))
	r := origin.Request{URL: broken.URL, Fallback: []string{s.URL}}
	var m memory
	if _, err := quick(t).GetInto(t.Context(), r, &m); err != nil || !bytes.Equal(m.Bytes(), content) {
		t.Errorf("%d bytes, %v", m.Len(), err)
	}
}

// Only "no such thing" leads to the next one: an origin that is down, or refuses,
// may have something else than it.
func TestTheNextOneIsNotAskedOtherwise(t *testing.T) {
	next := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	for _, status := range []int{http.StatusForbidden, http.StatusBadGateway} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, err := quick(t).GetInto(t.Context(), origin.Request{URL: s.URL, Fallback: []string{next.URL}}, &memory{})
		if err == nil || next.asked.Load() != 0 {
			t.Errorf("%d: error %v, the next one was asked %d times", status, err, next.asked.Load())
		}
	}
}

// Each new byte starts the count of tries again.
func TestTriesAreCountedFromTheLastByte(t *testing.T) {
	s := newServer(t, pieces)
	r := want(s.URL, "x")
	r.Fixed, r.Size = true, int64(len(content))
	c := quick(t)
	c.Tries = 2
	if _, err := c.GetInto(t.Context(), r, &memory{}); err != nil || s.asked.Load() != 4 {
		t.Errorf("asked %d times, %v", s.asked.Load(), err)
	}
}

// A full disk is full the next time too; an origin that has too much to do is asked again.
func TestWhatIsTriedAgain(t *testing.T) {
	for name, err := range map[string]error{
		"full":    errs.E(errs.Unavailable, syscall.ENOSPC),
		"no room": errs.E(errs.Unavailable, fsx.ErrNoRoom),
	} {
		s := newServer(t, pieces)
		if _, got := quick(t).GetInto(t.Context(), want(s.URL, "x"), &memory{refuse: err}); !errors.Is(got, err) || s.asked.Load() != 1 {
			t.Errorf("%s: error %v, asked %d times", name, got, s.asked.Load())
		}
	}
	var busy *server
	busy = newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if busy.asked.Load() < 3 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	if _, err := quick(t).GetInto(t.Context(), want(busy.URL, "x"), &memory{}); err != nil || busy.asked.Load() != 3 {
		t.Errorf("asked %d times, %v", busy.asked.Load(), err)
	}
}

// The bytes are wanted as they are; a type that nobody says is that of any bytes.
func TestBytesAsTheyAre(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q", got)
		}
		w.Header()["Content-Type"] = nil
		_, _ = w.Write(content)
	})
	a, err := quick(t).GetInto(t.Context(), want(s.URL, "x"), &memory{})
	if err != nil || a.MediaType != "application/octet-stream" {
		t.Errorf("%+v, %v", a, err)
	}
}

// Of a large chunk that comes slowly the first bytes are heard of before the rest is there.
func TestASlowChunkIsHeard(t *testing.T) {
	heard := make(chan struct{}, 1<<10)
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		out := bufio.NewWriter(conn)
		_, _ = io.WriteString(out, "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
		fmt.Fprintf(out, "%x\r\n", len(content))
		_, _ = out.Write(content[:20_000])
		_ = out.Flush()
		<-heard
		_, _ = out.Write(content[20_000:])
		_, _ = io.WriteString(out, "\r\n0\r\n\r\n")
		_ = out.Flush()
	})
	r := want(s.URL, "x")
	r.Heard = func() { heard <- struct{}{} }
	c := quick(t)
	c.Tries = 1
	var m memory
	if _, err := c.GetInto(t.Context(), r, &m); err != nil || !bytes.Equal(m.Bytes(), content) {
		close(heard) // the server waits for it
		t.Fatalf("%d bytes, %v", m.Len(), err)
	}
}
