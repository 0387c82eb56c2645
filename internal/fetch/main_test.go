package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/digest"
	"overland/internal/fetch"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/badlink"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURL) != "" {
		child() // never returns
	}
	goleak.VerifyTestMain(m)
}

const mib = 1 << 20

// random returns size bytes that depend on seed alone.
func random(seed uint64, size int) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	b := make([]byte, size)
	_, _ = r.Read(b)
	return b
}

func newStore(t *testing.T) *storedir.Store {
	t.Helper()
	return openStore(t, t.TempDir(), storedir.Options{})
}

func openStore(t *testing.T, dir string, o storedir.Options) *storedir.Store {
	t.Helper()
	s, err := storedir.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plainBlob is body as a Blob without a chunk list; withChunks has one, which is the second result.
func plainBlob(body []byte) fetch.Blob {
	return fetch.Blob{Digest: digest.Of(body), Size: int64(len(body))}
}

func withChunks(t *testing.T, body []byte) (fetch.Blob, []byte) {
	t.Helper()
	list, err := store.Chunks(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	b := plainBlob(body)
	b.Chunks = digest.Of(list)
	return b, list
}

// want checks that s has body.
func want(t *testing.T, s *storedir.Store, body []byte) {
	t.Helper()
	got, err := s.Bytes(t.Context(), digest.Of(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, body) {
		t.Fatal("the store has other bytes")
	}
}

// bad is an origin behind a link.
type bad struct {
	*badlink.Origin
	*badlink.Link
	src *fetch.SiteSource
}

func (b *bad) url() string { return b.Origin.URL(b.Link.Addr()) }

// behind puts an origin with the blobs behind a bad link, over TCP.
func behind(t *testing.T, f badlink.Faults, blobs ...[]byte) *bad {
	t.Helper()
	o := badlink.NewOrigin(nil, blobs...)
	t.Cleanup(func() { o.Close() })
	k, err := badlink.Listen(badlink.To(o.Addr()), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	b := &bad{Origin: o, Link: k}
	b.src = site(t, b.url(), fetch.SiteOptions{Dial: dialSmall})
	return b
}

// dialSmall keeps the kernel's buffer small. What it holds at a reset or a kill -9 is lost, and on
// loopback, under load, that may be megabytes; on a real link it is what is on the way.
func dialSmall(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetReadBuffer(64 << 10)
}

func site(t *testing.T, url string, o fetch.SiteOptions) *fetch.SiteSource {
	t.Helper()
	s, err := fetch.Site(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.CloseIdleConnections)
	return s
}

// inMemory is behind, on a network in memory for use inside a synctest bubble;
// end must be called inside of it.
func inMemory(t *testing.T, f badlink.Faults, blobs ...[]byte) (b *bad, end func()) {
	t.Helper()
	server, client := badlink.NewMemory(), badlink.NewMemory()
	b = &bad{Origin: badlink.NewOrigin(server, blobs...)}
	b.Link = badlink.Serve(client, server.Dial, f)
	src, err := fetch.Site(b.url(), fetch.SiteOptions{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return client.Dial(ctx) }})
	if err != nil {
		t.Fatal(err)
	}
	b.src = src
	return b, func() {
		src.CloseIdleConnections()
		b.Link.Close()
		b.Origin.Close()
	}
}

// atMost checks that no more than 1.02 times need bytes came down the link.
func atMost(t *testing.T, k *badlink.Link, need int) {
	t.Helper()
	c := k.Counts()
	t.Logf("needed %d bytes, moved %d (%.4f), %+v", need, c.Down, float64(c.Down)/float64(need), c)
	if float64(c.Down) > 1.02*float64(need) {
		t.Errorf("moved %d bytes for %d: %.3f times", c.Down, need, float64(c.Down)/float64(need))
	}
}

// fake is a source in memory.
type fake struct {
	name string
	mu   sync.Mutex
	open func(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error)
	asks int
}

func (f *fake) Name() string { return f.name }

func (f *fake) Open(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
	f.mu.Lock()
	f.asks++
	f.mu.Unlock()
	return f.open(ctx, d, off)
}

func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asks
}

// having returns a source with the bodies, changed by spoil when it is not nil.
func having(name string, spoil func(body []byte) []byte, bodies ...[]byte) *fake {
	blobs := map[digest.Digest][]byte{}
	for _, b := range bodies {
		if spoil != nil {
			blobs[digest.Of(b)] = spoil(bytes.Clone(b))
		} else {
			blobs[digest.Of(b)] = b
		}
	}
	return &fake{name: name, open: func(_ context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
		b, ok := blobs[d]
		if !ok {
			return nil, -1, fs.ErrNotExist
		}
		return io.NopCloser(bytes.NewReader(b[min(off, int64(len(b))):])), int64(len(b)), nil
	}}
}

func failing(name string, err error) *fake {
	return &fake{name: name, open: func(context.Context, digest.Digest, int64) (io.ReadCloser, int64, error) { return nil, -1, err }}
}

var errDown = errors.New("connection refused")

// quick are Options for tests that do not wait.
func quick(sources ...fetch.Source) fetch.Options {
	return fetch.Options{Sources: sources, Backoff: time.Millisecond}
}
