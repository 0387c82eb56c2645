package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/netcache/client"
	"overland/internal/testkit/shacache"
)

// long is size bytes that no disk holds.
type long struct{ size, at int64 }

// block is what long repeats; its length is no multiple of anything, so
// that no two buffers are alike.
var block = func() []byte {
	b := make([]byte, 1<<20+7)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}()

func (l *long) Read(p []byte) (int, error) {
	if l.at >= l.size {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), l.size-l.at)], block[l.at%int64(len(block)):])
	l.at += int64(n)
	return n, nil
}

func (l *long) Seek(off int64, from int) (int64, error) {
	if from != io.SeekStart {
		return 0, errors.ErrUnsupported
	}
	l.at = off
	return off, nil
}

// cutter is a listener whose connections break after so many bytes, all together, again and again.
type cutter struct {
	net.Listener
	every, came atomic.Int64
	cuts        atomic.Int32
}

func (c *cutter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	return &cut{conn, c}, err
}

type cut struct {
	net.Conn
	c *cutter
}

func (c *cut) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	all := c.c.came.Add(int64(n))
	if every := c.c.every.Load(); every > 0 && all/every != (all-int64(n))/every {
		c.c.cuts.Add(1)
		return n, errors.Join(net.ErrClosed, c.Close())
	}
	return n, err
}

// overCuts serves f's network cache anew, on a link that is cut.
func (f *fixture) overCuts(t *testing.T, every int64) *cutter {
	t.Helper()
	srv := httptest.NewUnstartedServer(shacache.Handler(f.shelf))
	c := &cutter{Listener: srv.Listener}
	c.every.Store(every)
	srv.Listener = c
	srv.Start()
	t.Cleanup(srv.Close)
	f.config.UploadCacheURL, f.config.UploadDirURL = srv.URL+"/shacache", srv.URL+"/shadir"
	return c
}

// An upload of 1 GiB that breaks half-way goes on where it broke.
func TestALongUploadBreaksHalfWay(t *testing.T) {
	f := setup(t)
	const size = 1 << 30
	link := f.overCuts(t, size/2+1<<20)
	body := &long{size: size}
	up, err := f.client(t, client.Options{Wait: time.Millisecond}).Upload(t.Context(), body, "k", map[string]any{"x": "y"})
	if err != nil || !up.Sent || up.Size != size || link.cuts.Load() == 0 {
		t.Fatalf("%+v, %v, %d cuts", up, err, link.cuts.Load())
	}
	if moved := float64(link.came.Load()) / size; moved > 1.02 {
		t.Errorf("%.3f × the bytes were sent", moved)
	}
	d, n, err := f.shelf.Resolve(t.Context(), up.Name)
	if err != nil || n != size {
		t.Fatal(d, n, err)
	}
	h := sha256.New()
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(h, body); err != nil || digest.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil))) != d {
		t.Errorf("it is stored as %s, %v", d, err)
	}
}

// Client and server both end in the middle; the next ones go on.
func TestAnUploadGoesOnInAnotherProcess(t *testing.T) {
	f := setup(t)
	data := make([]byte, 32<<20)
	if _, err := io.ReadFull(&long{size: 1 << 30}, data); err != nil {
		t.Fatal(err)
	}
	first := f.overCuts(t, 20<<20)
	ctx, cancel := context.WithCancel(t.Context())
	stopped := &stopping{Reader: bytes.NewReader(data), after: 15 << 20, stop: cancel}
	if _, err := f.client(t, client.Options{}).Upload(ctx, stopped, "", nil); err == nil {
		t.Fatal("it went on")
	}
	second := f.overCuts(t, 0)
	// The first server gives the partial blob up when it notices; until then
	// it is busy, and is asked again.
	up, err := f.client(t, client.Options{Wait: 200 * time.Millisecond}).Upload(t.Context(), bytes.NewReader(data), "", nil)
	if err != nil || !up.Sent {
		t.Fatal(up, err)
	}
	if got := second.came.Load(); first.came.Load()+got > 34<<20 || got > 24<<20 {
		t.Errorf("%d bytes, then %d", first.came.Load(), got)
	}
}

// stopping calls stop when, after it was hashed once, so many bytes of it were read again.
type stopping struct {
	*bytes.Reader
	after int64
	round int
	n     int64
	stop  func()
}

func (s *stopping) Seek(off int64, from int) (int64, error) {
	s.round++
	return s.Reader.Seek(off, from)
}

func (s *stopping) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if s.round > 2 {
		if s.n += int64(n); s.n > s.after {
			s.stop()
		}
	}
	return n, err
}

// A server of the old world knows no parts: it gets one POST.
func TestOldServersGetOnePost(t *testing.T) {
	f := setup(t)
	data := bytes.Repeat(f.data, 9)
	for _, status := range []int{http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotFound, http.StatusNotImplemented, http.StatusForbidden} {
		var parts atomic.Int32
		f.mischief(func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && r.Header.Get("Content-Range") != "" {
				parts.Add(1)
				w.WriteHeader(status)
				return true
			}
			return false
		})
		data = append(data, 'x')
		up, err := f.client(t, client.Options{}).Upload(t.Context(), bytes.NewReader(data), "", nil)
		if denied := status == http.StatusForbidden; parts.Load() != 1 || denied != (errs.KindOf(err) == errs.Denied) || denied == up.Sent {
			t.Errorf("%d: asked %d times, %+v, %v", status, parts.Load(), up, err)
		}
	}
}

// What breaks every time, without a byte, ends.
func TestAnUploadThatNeverGoesOnEnds(t *testing.T) {
	f := setup(t)
	f.mischief(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && !strings.HasPrefix(r.Header.Get("Content-Range"), "bytes */") {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	_, err := f.client(t, client.Options{Wait: time.Microsecond}).Upload(t.Context(), bytes.NewReader(bytes.Repeat(f.data, 9)), "", nil)
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
	if list, err := os.ReadDir(filepath.Join(f.dir, "depot", "blobs", "sha256")); err != nil || len(list) != 0 {
		t.Errorf("%d blobs, %v", len(list), err)
	}
}
