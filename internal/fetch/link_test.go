package fetch_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/httpx"
	"overland/internal/testkit/badlink"
)

func TestALinkThatIsCut(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		every int64
		list  bool
	}{
		{"every 2 MB of 16, with a chunk list", 16*mib + 12345, 2_000_000, true},
		{"every 2 MB of 16, without", 16*mib + 12345, 2_000_000, false},
		{"every 40 MB of 121, as in the field", 121 * mib, 40_000_000, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := random(1, c.size)
			b, list := plainBlob(body), []byte(nil)
			if c.list {
				b, list = withChunks(t, body)
			}
			link := behind(t, badlink.Faults{CutEvery: c.every}, body, list)
			s := newStore(t)
			if err := fetch.New(s, quick(link.src)).Fetch(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			want(t, s, body)
			atMost(t, link.Link, c.size)
			if got, least := link.Counts().Cuts, c.size/int(c.every); got < least {
				t.Errorf("cut %d times, want at least %d: the link was too good", got, least)
			}
		})
	}
}

func TestALinkThatIsReset(t *testing.T) {
	body := random(2, 8*mib)
	b, list := withChunks(t, body)
	link := behind(t, badlink.Faults{CutEvery: 3_000_000, Reset: true}, body, list)
	s := newStore(t)
	if err := fetch.New(s, quick(link.src)).Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want(t, s, body) // what the client's kernel held at a reset is lost to it: nothing to count here
}

func TestALinkThatGoesSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(3, 4*mib)
		b, list := withChunks(t, body)
		link, end := inMemory(t, badlink.Faults{SilentAt: 2*mib + 777}, body, list)
		defer end()
		s := newStore(t)
		var silence, last time.Duration
		began := time.Now()
		o := fetch.Options{Sources: []fetch.Source{link.src}, Progress: func(e fetch.Event) {
			if e.Digest == b.Digest {
				now := time.Since(began)
				silence, last = max(silence, now-last), now
			}
		}}
		if err := fetch.New(s, o).Fetch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want(t, s, body)
		atMost(t, link.Link, len(body))
		if link.Counts().Silences != 1 {
			t.Error("the link was never silent")
		}
		// Time is faked here: nothing but the watchdog takes any.
		if silence > 31*time.Second || silence < 30*time.Second {
			t.Errorf("went on after %s of silence, want 30 s", silence)
		}
	})
}

func TestALinkOf4KBPerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(4, mib+mib/2)
		b, list := withChunks(t, body)
		link, end := inMemory(t, badlink.Faults{Rate: 4096}, body, list)
		defer end()
		s := newStore(t)
		var events []fetch.Event
		o := fetch.Options{Sources: []fetch.Source{link.src}, Progress: func(e fetch.Event) { events = append(events, e) }}
		if err := fetch.New(s, o).Fetch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want(t, s, body)
		atMost(t, link.Link, len(body))
		if n := link.Counts().Conns; n != 1 {
			t.Errorf("%d connections, want 1: slow is not silent", n)
		}
		if e := events[len(events)/2]; e.Rate < 3500 || e.Rate > 4500 {
			t.Errorf("rate %d bytes/s in the middle, want about 4096", e.Rate)
		}
		if e := events[len(events)-1]; e.Done != b.Size || e.Total != b.Size {
			t.Errorf("last event %+v, want all of %d", e, b.Size)
		}
	})
}

func TestALinkOnWhichOneTLSRecordTakesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(41, 300_000)
		link, end := inMemory(t, badlink.Faults{Rate: 256}, body)
		defer end()
		s := newStore(t)
		if err := fetch.New(s, fetch.Options{Sources: []fetch.Source{link.src}}).Fetch(t.Context(), plainBlob(body)); err != nil {
			t.Fatal(err)
		}
		want(t, s, body)
		if n := link.Counts().Conns; n != 1 {
			t.Errorf("%d connections, want 1: bytes came all the time", n)
		}
	})
}

func TestALinkThatRefuses(t *testing.T) {
	var bodies [][]byte
	var blobs []fetch.Blob
	total := 0
	for i := range 200 {
		bodies = append(bodies, random(uint64(1000+i), 20_000))
		blobs = append(blobs, plainBlob(bodies[i]))
		total += len(bodies[i])
	}
	// Every few blobs need a new connection, of which 30 % are refused.
	link := behind(t, badlink.Faults{Refuse: 0.3, Seed: 7, CutEvery: 100_000}, bodies...)
	s := newStore(t)
	o := quick(link.src)
	o.Parallel = 1
	if err := fetch.New(s, o).All(t.Context(), blobs); err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		want(t, s, body)
	}
	if c := link.Counts(); c.Refused == 0 {
		t.Error("nothing was refused")
	}
	t.Logf("%+v", link.Counts())

	body := random(9, 24*mib)
	b, list := withChunks(t, body)
	link = behind(t, badlink.Faults{Refuse: 0.3, Seed: 8, CutEvery: 3_000_000}, body, list)
	s = newStore(t)
	if err := fetch.New(s, quick(link.src)).Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
	atMost(t, link.Link, len(body))
	if c := link.Counts(); c.Refused == 0 {
		t.Error("nothing was refused")
	}
}

func TestALinkThatFlipsABit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in memory nothing is on its way that a closed connection would waste
		body := random(5, 4*mib)
		b, list := withChunks(t, body)
		link, end := inMemory(t, badlink.Faults{FlipAt: 3_000_000}, body, list)
		defer end()
		s := newStore(t)
		var liars []error
		o := fetch.Options{Sources: []fetch.Source{link.src}, Liar: func(e *fetch.SourceError) { liars = append(liars, e) }}
		if err := fetch.New(s, o).Fetch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want(t, s, body)
		atMost(t, link.Link, len(body)) // TLS notices: a bad link is not a lying site
		if len(liars) > 0 {
			t.Errorf("accused %v of what the link did", liars)
		}
	})
}

func TestALinkWithLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(6, 3*mib)
		link, end := inMemory(t, badlink.Faults{Latency: 5 * time.Second, CutEvery: mib}, body)
		defer end()
		s := newStore(t)
		if err := fetch.New(s, fetch.Options{Sources: []fetch.Source{link.src}}).Fetch(t.Context(), plainBlob(body)); err != nil {
			t.Fatal(err)
		}
		want(t, s, body)
	})
}

func TestALinkThatIsGoneEndsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(7, 3*mib)
		link, end := inMemory(t, badlink.Faults{CutEvery: mib}, body)
		defer end()
		link.Link.Set(badlink.Faults{Refuse: 1})
		s := newStore(t)
		err := fetch.New(s, fetch.Options{Sources: []fetch.Source{link.src}}).Fetch(t.Context(), plainBlob(body))
		if errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
			t.Errorf("got %v (%v), want Unavailable with a hint", err, errs.KindOf(err))
		}
		var src *fetch.SourceError
		if !errors.As(err, &src) || src.Source != link.src.Name() {
			t.Errorf("got %v, want it to name the source", err)
		}
		if n := link.Counts().Conns; n != fetch.DefaultAttempts {
			t.Errorf("%d attempts, want %d", n, fetch.DefaultAttempts)
		}
	})
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(8, 3*mib)
		link, end := inMemory(t, badlink.Faults{SilentAt: mib}, body)
		defer end()
		s := newStore(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := fetch.New(s, fetch.Options{Sources: []fetch.Source{link.src}}).Fetch(ctx, plainBlob(body))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the caller's deadline", err)
		}
		// What came stays: the next call moves only the rest.
		link.Link.Set(badlink.Faults{})
		if err := fetch.New(s, fetch.Options{Sources: []fetch.Source{link.src}}).Fetch(t.Context(), plainBlob(body)); err != nil {
			t.Fatal(err)
		}
		want(t, s, body)
		atMost(t, link.Link, len(body))
	})
}

// dripping is a source that has body, and sends as many bytes as given after each pause.
func dripping(name string, body []byte, bytes int, pause time.Duration) *fake {
	return &fake{name: name, open: func(ctx context.Context, _ digest.Digest, off int64) (io.ReadCloser, int64, error) {
		return io.NopCloser(&drip{ctx, body[off:], bytes, pause}), int64(len(body)), nil
	}}
}

type drip struct {
	ctx   context.Context
	left  []byte
	bytes int
	pause time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.left) == 0 {
		return 0, io.EOF
	}
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(d.pause):
	}
	n := copy(p, d.left[:min(d.bytes, len(d.left))])
	d.left = d.left[n:]
	return n, nil
}

// A source that drips never goes silent. Where another one has the blob, everybody who waits for it
// has it from there; two that are slow are compared, and neither is given up.
func TestADripHoldsUpNobody(t *testing.T) {
	body := random(42, mib)
	for name, c := range map[string]struct {
		sources []fetch.Source
		within  time.Duration
	}{
		"a byte every half minute, and a good one": {[]fetch.Source{
			dripping("drip", body, 1, 29*time.Second), having("good", nil, body),
		}, 2 * time.Minute},
		"just above what is a drip, and a good one": {[]fetch.Source{
			dripping("drip", body, 150, time.Second), having("good", nil, body),
		}, 2 * time.Minute},
		"a slow link of 1 KB/s, and one that is slower": {[]fetch.Source{
			dripping("slow", body, 1024, time.Second), dripping("drip", body, 16, time.Second),
		}, 1024*time.Second + 4*time.Minute},
		"a link of 4 KB/s, and one that is dead": {[]fetch.Source{
			dripping("slow", body, 4096, time.Second), failing("dead", errDown),
		}, 256 * time.Second},
		"a link of 40 B/s alone": {[]fetch.Source{dripping("slow", body, 40, time.Second)}, 27_000 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(t)
				f := fetch.New(s, fetch.Options{Sources: c.sources})
				began := time.Now()
				if err := f.Fetch(t.Context(), plainBlob(body)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("took %s", took)
				}
				want(t, s, body)
			})
		})
	}
}

// What drips in alone, or for somebody who has others to ask, is given up in the end, and by name.
func TestOnlyDripsIsUnavailable(t *testing.T) {
	body := random(43, mib)
	for name, c := range map[string]struct {
		els    bool
		within time.Duration
	}{
		"alone":              {false, 2 * time.Hour},
		"with others to ask": {true, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := fetch.New(newStore(t), fetch.Options{Sources: []fetch.Source{dripping("drip", body, 1, 20*time.Second)}})
				b, began := plainBlob(body), time.Now()
				b.Else = c.els
				err := f.Fetch(t.Context(), b)
				if !errors.Is(err, httpx.ErrDrips) || errs.KindOf(err) != errs.Unavailable {
					t.Errorf("fetched: %v", err)
				}
				if took := time.Since(began); took > c.within {
					t.Errorf("given up after %s", took)
				}
			})
		})
	}
}
