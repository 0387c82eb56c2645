package httpx_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
)

const stall = 10 * time.Second

// body is one whose connection had its last byte at a moment, below what can be read.
type body struct {
	io.Reader
	last atomic.Pointer[time.Time] // the watchdog asks beside whoever reads
}

func (b *body) came() {
	now := time.Now()
	b.last.Store(&now)
}

func (b *body) Silence() time.Duration { return time.Since(*b.last.Load()) }

func stalled(w *httpx.Watchdog) bool {
	return errors.Is(context.Cause(w.Context()), httpx.ErrStalled)
}

func TestSilenceEndsATransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httpx.NewWatchdog(t.Context(), stall)
		defer w.Stop()
		if httpx.WatchdogOf(w.Context()) != w || httpx.WatchdogOf(t.Context()) != nil {
			t.Error("the watchdog of a context is another one")
		}
		time.Sleep(6 * time.Second)
		r := w.Over(strings.NewReader("xy"))
		time.Sleep(6 * time.Second)
		buf := make([]byte, 1)
		if _, err := r.Read(buf); err != nil {
			t.Fatalf("the wait did not start again with the body: %v", err)
		}
		time.Sleep(6 * time.Second)
		w.Rest()
		time.Sleep(time.Hour)
		if stalled(w) {
			t.Error("ended while it rested, or after a byte")
		}
		w.Seen()
		time.Sleep(stall)
		synctest.Wait()
		if !stalled(w) || errs.KindOf(context.Cause(w.Context())) != errs.Unavailable {
			t.Errorf("silence: %v", context.Cause(w.Context()))
		}
	})
}

// On a slow link the next TLS record may take longer than the watchdog waits, while its bytes come.
func TestBytesThatCannotBeReadYetAreNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httpx.NewWatchdog(t.Context(), stall)
		defer w.Stop()
		b := &body{Reader: strings.NewReader("")}
		b.came()
		w.Over(b)
		time.Sleep(9 * time.Second)
		b.came()
		time.Sleep(9 * time.Second)
		if stalled(w) {
			t.Fatal("bytes came below")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !stalled(w) {
			t.Error("nothing came for ten seconds")
		}
	})
}

// failing is a reader that a cancelled context ended, as those of net/http are.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestTheEndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httpx.NewWatchdog(t.Context(), stall)
		defer w.Stop()
		broken := errors.New("connection reset")
		if _, err := w.Over(failing{broken}).Read(nil); !errors.Is(err, broken) {
			t.Errorf("an error of the link became %v", err)
		}
		time.Sleep(stall)
		synctest.Wait()
		if _, err := w.Over(failing{context.Canceled}).Read(nil); !errors.Is(err, httpx.ErrStalled) {
			t.Errorf("silence became %v", err)
		}
		if _, err := w.Over(strings.NewReader("")).Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the end of a whole body became %v", err)
		}
	})
}

// An interim answer that says that more has come is heard of, and starts the wait again;
// one that says the same is not.
func TestInterimAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httpx.NewWatchdog(t.Context(), stall)
		defer w.Stop()
		heard := 0
		w.Interim = func() { heard++ }
		h := http.Header{}
		trace := httptrace.ContextClientTrace(httpx.AskWatched(w.Context(), h))
		if len(h) != 1 || trace == nil {
			t.Fatalf("not asked: %v", h)
		}
		tell := func(code int, done string) {
			if err := trace.Got1xxResponse(code, textproto.MIMEHeader{"Overland-Done": {done}}); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(6 * time.Second)
		tell(http.StatusProcessing, "5")
		time.Sleep(6 * time.Second)
		if stalled(w) || heard != 1 {
			t.Fatalf("heard %d times, ended %v", heard, stalled(w))
		}
		tell(http.StatusProcessing, "5")
		tell(http.StatusEarlyHints, "9")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if !stalled(w) || heard != 1 {
			t.Errorf("what is no progress was heard %d times, ended %v", heard, stalled(w))
		}
		if h := (http.Header{}); httpx.AskWatched(t.Context(), h) != t.Context() || len(h) != 0 {
			t.Errorf("asked without a watchdog: %v", h)
		}
	})
}

// The connection below TLS knows when its last byte came.
func TestBodyKnowsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		conn, err := httpx.Timed(func(context.Context, string, string) (net.Conn, error) { return near, nil })(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		time.Sleep(time.Minute)
		go func() { _, _ = far.Write([]byte("x")) }()
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		for name, c := range map[string]net.Conn{"plain": conn, "TLS": tls.Client(conn, nil)} {
			b, ok := httpx.Body(http.NoBody, c).(interface{ Silence() time.Duration })
			if !ok || b.Silence() != time.Second {
				t.Errorf("%s: silent %v", name, ok)
			}
		}
		if httpx.Body(http.NoBody, far) != http.NoBody {
			t.Error("a connection that Timed did not make knows nothing")
		}
	})
}

// Each piece that a client takes has a deadline of its own, and so have the head and
// what the server writes at the end.
func TestIdleWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{}
		w := httpx.IdleWriter(d, stall)
		if d.write != time.Now().Add(stall) {
			t.Error("none from the start")
		}
		time.Sleep(time.Minute)
		w.WriteHeader(http.StatusProcessing)
		if d.write != time.Now().Add(stall) {
			t.Error("none for the head")
		}
		d.slow = 9 * time.Second // it takes 16 KiB at a time
		n, err := w.Write(make([]byte, 1<<20))
		if n != 1<<20 || err != nil {
			t.Errorf("wrote %d bytes, %v", n, err)
		}
		if d.write != time.Now().Add(stall) {
			t.Error("none for the end")
		}
		d.slow = stall + 1
		if n, err := w.Write(make([]byte, 1<<20)); n != 0 || err == nil {
			t.Errorf("a client that takes nothing was served %d bytes, %v", n, err)
		}
	})
}

func TestIdleBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "/", d)
		if err != nil {
			t.Fatal(err)
		}
		r = httpx.IdleBody(d, r, stall)
		d.slow = 9 * time.Second
		for range 3 {
			if _, err := r.Body.Read(make([]byte, 4<<10)); err != nil {
				t.Fatal(err)
			}
		}
		d.slow = time.Second
		for range 2 {
			if _, err := r.Body.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * stall) // our own disk
		}
		if _, err := r.Body.Read(make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
		d.slow = stall + 1
		if _, err := r.Body.Read(make([]byte, 1)); err != io.ErrUnexpectedEOF { //nolint:errorlint // readers compare so
			t.Errorf("silence became %v", err)
		}
	})
}

// A body that brings a byte now and then holds a place as a silent one does.
func TestS21ABodyThatDripsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{slow: stall / 5}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "/", d)
		if err != nil {
			t.Fatal(err)
		}
		r = httpx.IdleBody(d, r, stall)
		began := time.Now()
		if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, make([]byte, 1)); err != io.ErrUnexpectedEOF { //nolint:errorlint // readers compare so
			t.Errorf("%d bytes, %v", n, err)
		}
		if took := time.Since(began); took > stall+stall/5 {
			t.Errorf("it dripped for %v", took)
		}
	})
}

// Each piece of a body has its own time, and so has what the server reads of it before and after the
// handler; a request without a body has no deadline.
func TestBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deadlines{slow: stall / 2}
		ask := func(length int64, handle http.HandlerFunc) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "/", d)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = length
			httpx.Bodies(handle, stall).ServeHTTP(d, r)
		}
		ask(0, func(http.ResponseWriter, *http.Request) {})
		if !d.read.IsZero() {
			t.Errorf("no body, and a deadline in %v", time.Until(d.read))
		}
		for _, length := range []int64{1 << 20, -1} {
			ask(length, func(_ http.ResponseWriter, r *http.Request) {
				if d.read != time.Now().Add(stall) {
					t.Error("no deadline for what the server reads itself")
				}
				for n := range 6 { // three times as long as one may take
					if _, err := r.Body.Read(make([]byte, 4<<10)); err != nil {
						t.Errorf("piece %d: %v", n, err)
					}
				}
			})
			if d.read != time.Now().Add(stall) {
				t.Error("no deadline for what nobody read")
			}
			d.read = time.Time{}
		}
	})
}

// A client that waits for 100 Continue, and does not get it, is answered at once: the server does not
// wait for the body that it has held back.
func TestBodiesOfThoseWhoWaitToBeAsked(t *testing.T) {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) })
	srv := httptest.NewServer(httpx.Bodies(refuse, time.Hour))
	t.Cleanup(srv.Close)
	for _, length := range []string{"Content-Length: 5", "Transfer-Encoding: chunked"} {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil { // it would be an hour
			t.Fatal(err)
		}
		_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\n"+length+"\r\n\r\n")
		answer, rerr := io.ReadAll(c)
		if err := errors.Join(err, rerr, c.Close()); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 405 ") {
			t.Errorf("%s: %q, %v", length, answer, err)
		}
	}
}

// At the end of a body no deadline is left: the server watches whether the client leaves while the
// request is worked on.
func TestTheWorkAfterABodyHasNoDeadline(t *testing.T) {
	d := &deadlines{}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(strings.NewReader("x"))
	r = httpx.IdleBody(d, r, stall)
	if _, err := io.ReadAll(r.Body); err != nil || !d.read.IsZero() {
		t.Errorf("%v, and a deadline at %v", err, d.read)
	}
}

// deadlines is both sides of a request over a link that takes so long for each piece.
type deadlines struct {
	slow        time.Duration
	read, write time.Time
}

func (d *deadlines) Header() http.Header { return http.Header{} }

func (d *deadlines) WriteHeader(int) {}

func (d *deadlines) SetReadDeadline(at time.Time) error  { d.read = at; return nil }
func (d *deadlines) SetWriteDeadline(at time.Time) error { d.write = at; return nil }

func (d *deadlines) Read(p []byte) (int, error) { return d.pass(p, d.read) }

func (d *deadlines) Write(p []byte) (int, error) { return d.pass(p, d.write) }

func (d *deadlines) Close() error { return nil }

func (d *deadlines) pass(p []byte, until time.Time) (int, error) {
	time.Sleep(d.slow)
	if time.Now().After(until) {
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

// heads counts the interim answers.
type heads struct {
	deadlines
	told int
}

func (h *heads) WriteHeader(status int) {
	if status == http.StatusProcessing {
		h.told++
	}
}

// A client is told of what has risen, once.
func TestWhatStandsStillIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &heads{}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		httpx.Ask(t.Context(), r.Header, func() {})
		done := func() int64 { return 5 }
		if err := httpx.Wait(w, r, done, func() error { time.Sleep(time.Minute); return io.EOF }); !errors.Is(err, io.EOF) || w.told != 1 {
			t.Errorf("told %d times, %v", w.told, err)
		}
	})
}

// dripping brings so many bytes at a time, each after a pause.
type dripping struct {
	bytes int
	pause time.Duration
}

func (d dripping) Read(p []byte) (int, error) {
	time.Sleep(d.pause)
	return copy(p, make([]byte, d.bytes)), nil
}

// A byte now and then is never silence. What is left of a link of 4 KB/s that 150 share goes on for
// as long as it takes, though a record of TLS comes every ten minutes.
func TestADripEndsATransfer(t *testing.T) {
	for name, c := range map[string]struct {
		from  dripping
		pace  int64
		drips bool
	}{
		"a byte every four seconds":                  {dripping{1, 4 * time.Second}, 0, true},
		"a byte a second":                            {dripping{1, time.Second}, 0, true},
		"records on a link that many share":          {dripping{16 << 10, 199 * time.Second / 20}, 0, false},
		"a link of 4 KB/s, with others to ask":       {dripping{2 << 10, time.Second / 2}, httpx.LegalPace / 2, false},
		"a quarter of that, with others to ask":      {dripping{512, time.Second / 2}, httpx.LegalPace / 2, true},
		"a quarter of that, with nobody to ask":      {dripping{512, time.Second / 2}, 0, false},
		"a slower pace than what is needed anyway":   {dripping{1, time.Second}, 1, true},
		"shared by 30, with somebody else to ask":    {dripping{httpx.SharedPace + 1, time.Second}, httpx.SharedPace, false},
		"a tenth of that, with somebody else to ask": {dripping{httpx.SharedPace / 10, time.Second}, httpx.SharedPace, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := httpx.NewWatchdog(t.Context(), stall)
				defer w.Stop()
				w.Hurry(c.pace)
				r, buf := w.Over(c.from), make([]byte, 16<<10)
				for began := time.Now(); time.Since(began) < 4*time.Hour && w.Context().Err() == nil; {
					if _, err := r.Read(buf); err != nil {
						t.Fatal(err)
					}
					time.Sleep(stall / 2) // our own disk, which is not the other side's fault
				}
				if got := errors.Is(context.Cause(w.Context()), httpx.ErrDrips); got != c.drips {
					t.Errorf("ended: %v", context.Cause(w.Context()))
				}
			})
		})
	}
}

// Bytes below what can be read are no silence, but a drip of them is one.
func TestADripBelowWhatCanBeReadEndsATransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httpx.NewWatchdog(t.Context(), stall)
		defer w.Stop()
		in, out := io.Pipe()
		defer out.Close()
		b := &body{Reader: in}
		b.came()
		go func() { _, _ = w.Over(b).Read(make([]byte, 1)) }()
		for range 100 {
			time.Sleep(9 * time.Second)
			b.came()
		}
		if err := context.Cause(w.Context()); !errors.Is(err, httpx.ErrDrips) || errs.KindOf(err) != errs.Unavailable {
			t.Errorf("ended: %v", err)
		}
	})
}
