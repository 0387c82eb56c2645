package origin_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/origin"
	"overland/internal/testkit/badlink"
)

// big is 4 MiB that nowhere repeats a page.
var big = func() []byte {
	b := bytes.Repeat(content, 64)
	for i := 0; i < len(b); i += 4096 {
		b[i], b[i+1] = byte(i>>12), byte(i>>20)
	}
	return b
}()

// bare serves big with ranges, without a validator.
func bare(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(big))
}

func fixed(base string) origin.Request {
	return origin.Request{URL: base + "/x", Limit: 8 << 20, Fixed: true}
}

func through(t *testing.T, s *server, f badlink.Faults) *badlink.Link {
	t.Helper()
	k, err := badlink.Listen(badlink.To(s.Listener.Addr().String()), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func body(t *testing.T, a *origin.Answer) []byte {
	t.Helper()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What never changes needs no validator to go on, over a link that is cut or goes silent.
func TestBytesOverALinkThatIsCut(t *testing.T) {
	for name, f := range map[string]badlink.Faults{
		"cut":    {CutEvery: 1 << 20},
		"reset":  {CutEvery: 1 << 20, Reset: true},
		"silent": {SilentAt: 2 << 20},
	} {
		s := newServer(t, bare)
		k := through(t, s, f)
		c := quick(t)
		c.Stall = time.Second
		a, err := c.Get(t.Context(), fixed("http://"+k.Addr()))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := body(t, a); !bytes.Equal(got, big) || !a.Spliced {
			t.Errorf("%s: %d bytes, spliced %t", name, len(got), a.Spliced)
		}
		a.Close()
		if n := k.Counts(); name != "reset" && n.Down > int64(len(big))*105/100 {
			t.Errorf("%s: %+v for %d bytes", name, n, len(big))
		}
	}
}

// An origin that knows no ranges, behind a link that is always cut at the same place, is given up.
func TestWhatComesAgainIsNoProgress(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(big) })
	k := through(t, s, badlink.Faults{CutEvery: 1 << 20})
	c := quick(t)
	if _, err := c.Get(t.Context(), fixed("http://"+k.Addr())); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
	if n := s.asked.Load(); n > 2*origin.DefaultTries {
		t.Errorf("asked %d times", n)
	}
}

// breaking serves big, but breaks off after 3 MiB and is then busy, until it is well.
type breaking struct {
	well   bool
	ranges []string
}

func (b *breaking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.ranges = append(b.ranges, r.Header.Get("Range"))
	switch {
	case b.well:
		bare(w, r)
	case len(b.ranges) == 1:
		w.Header().Set("Content-Length", strconv.Itoa(len(big)))
		_, _ = w.Write(big[:3<<20])
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// left returns a client whose transfer from b failed, with what it kept.
func left(t *testing.T, b *breaking) (*origin.Client, *server, string) {
	t.Helper()
	s := newServer(t, b.ServeHTTP)
	c := quick(t)
	c.Tries = 1
	if _, err := c.Get(t.Context(), fixed(s.URL)); err == nil {
		t.Fatal("it did not break off")
	}
	list, err := os.ReadDir(c.Dir)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	b.well, c.Tries = true, 2
	return c, s, filepath.Join(c.Dir, list[0].Name())
}

// What one process left unfinished another one goes on with; when it is whole nothing is left.
func TestALaterProcessGoesOn(t *testing.T) {
	var b breaking
	c, s, path := left(t, &b)
	a, err := c.Get(t.Context(), fixed(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(body(t, a), big) || !a.Spliced || a.Status != 200 || a.Header.Get("Content-Range") != "" {
		t.Errorf("%+v", a)
	}
	if got := b.ranges[len(b.ranges)-1]; got != "bytes=3145728-" {
		t.Errorf("asked for %q", got)
	}
	a.Close()
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}

// What is kept may be whole already, longer, wrong, or a blob by now, which nobody changes.
func TestWhatIsKeptMayBeAnything(t *testing.T) {
	for name, there := range map[string][]byte{"whole": big, "longer": append(bytes.Clone(big), 'x'), "wrong": []byte("something else"), "blob": big[:9]} {
		var b breaking
		c, s, path := left(t, &b)
		if err := os.WriteFile(path, there, 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "blob" {
			if err := os.Link(path, path+".blob"); err != nil {
				t.Fatal(err)
			}
		}
		a, err := c.Get(t.Context(), fixed(s.URL))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// The proof of whoever asked finds what is wrong, and the whole is asked for.
		if got := body(t, a); (name != "wrong") != bytes.Equal(got, big) || name == "wrong" && !a.Spliced {
			t.Errorf("%s: %d bytes, spliced %t", name, len(got), a.Spliced)
		}
		a.Close()
		if got, err := os.ReadFile(path + ".blob"); name == "blob" && (err != nil || !bytes.Equal(got, there)) {
			t.Errorf("the blob has %d bytes, %v", len(got), err)
		}
	}
}

// A flow is read while it comes, also when the origin begins anew, and ends with an error when that
// brings other bytes than were handed out.
func TestAFlowIsReadWhileItComes(t *testing.T) {
	for name, second := range map[string][]byte{"same": big, "other": append([]byte("other"), big...)} {
		n, flow := 0, make(chan *origin.Flow, 1)
		next := make(chan struct{})
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			if n++; n == 1 {
				w.Header().Set("Content-Length", strconv.Itoa(len(big)))
				_, _ = w.Write(big[:1<<20])
				_ = http.NewResponseController(w).Flush()
				<-next
				return
			}
			_, _ = w.Write(second)
		})
		r := origin.Request{URL: s.URL, Limit: 8 << 20, Begun: func(f *origin.Flow) { flow <- f }}
		done := make(chan error)
		c := quick(t)
		go func() {
			a, err := c.Get(t.Context(), r)
			if err == nil {
				err = a.Close()
			}
			done <- err
		}()
		f := <-flow
		in, err := f.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 1<<20)
		if _, err := io.ReadFull(in, head); err != nil || !bytes.Equal(head, big[:1<<20]) || f.Size() != int64(len(big)) {
			t.Errorf("%s: %v, size %d", name, err, f.Size())
		}
		close(next)
		rest, err := io.ReadAll(in)
		if gone := name == "other"; gone != (err != nil) || !gone && !bytes.Equal(slices.Concat(head, rest), big) {
			t.Errorf("%s: %d more bytes, %v", name, len(rest), err)
		}
		in.Close()
		if err := <-done; err != nil || f.Digest() != digest.Of(second) {
			t.Errorf("%s: %v, %s", name, err, f.Digest())
		}
	}
}
