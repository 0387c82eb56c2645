package fetch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
	"overland/internal/testkit/badlink"
)

func flip(at ...int) func([]byte) []byte {
	return func(b []byte) []byte {
		for _, i := range at {
			if i < len(b) {
				b[i] ^= 1
			}
		}
		return b
	}
}

func TestALiarAmongThreeIsNamedAndCostsOneChunk(t *testing.T) {
	body := random(21, 12*mib+99)
	b, list := withChunks(t, body)
	liar := behind(t, badlink.Faults{}, body, list)
	liar.Origin.Set(badlink.Liar, 5*mib+17, 8*mib)
	honest, third := behind(t, badlink.Faults{}, body, list), behind(t, badlink.Faults{}, body, list)
	s := newStore(t)
	var accused []*fetch.SourceError
	var moved int64
	o := quick(liar.src, honest.src, third.src)
	o.Liar = func(e *fetch.SourceError) { accused = append(accused, e) }
	o.Progress = func(e fetch.Event) {
		if e.Digest == b.Digest {
			moved = e.Moved
		}
	}
	f := fetch.New(s, o)
	if err := f.Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
	if len(accused) != 1 || accused[0].Source != liar.src.Name() || accused[0].Digest != b.Digest || !errors.Is(accused[0], digest.ErrMismatch) {
		t.Errorf("accused %v, want the first source alone", accused)
	}
	if waste := moved - b.Size; waste > mib {
		t.Errorf("a bad byte cost %d bytes, want at most one chunk", waste)
	}
	before := liar.Counts().Conns
	if err := s.Remove(t.Context(), b.Digest); err != nil {
		t.Fatal(err)
	}
	requests, _ := liar.Requests()
	if err := f.Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if again, _ := liar.Requests(); again != requests {
		t.Errorf("the liar was asked again (%d connections before)", before)
	}
}

func TestOnlyLiarsIsUntrusted(t *testing.T) {
	body := random(22, 3*mib)
	b, list := withChunks(t, body)
	for name, b := range map[string]fetch.Blob{"with a chunk list": b, "without": plainBlob(body), "unknown size": {Digest: b.Digest, Size: -1}} {
		t.Run(name, func(t *testing.T) {
			good := having("keeper of the list", nil, list)
			f := fetch.New(newStore(t), quick(having("liar 1", flip(5), body), having("liar 2", flip(2*mib), body), good))
			err := f.Fetch(t.Context(), b)
			if errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
				t.Fatalf("got %v (%v), want Untrusted with a hint", err, errs.KindOf(err))
			}
			for _, name := range []string{"liar 1", "liar 2"} {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%v does not name %s", err, name)
				}
			}
		})
	}
}

// cutAfter passes on n bytes of each stream.
func cutAfter(src *fake, n int64) *fake {
	return &fake{name: src.name, open: func(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
		rc, size, err := src.Open(ctx, d, off)
		if err != nil {
			return nil, size, err
		}
		return io.NopCloser(io.MultiReader(io.LimitReader(rc, n), brokenReader{})), size, nil
	}}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errDown }

func TestALiarThatSendsPartOfAChunkIsNamedToo(t *testing.T) {
	body := random(23, 3*mib+5)
	b, list := withChunks(t, body)
	lists := having("keeper of the list", nil, list)
	for name, b := range map[string]fetch.Blob{"with a chunk list": b, "without": plainBlob(body[:mib])} {
		t.Run(name, func(t *testing.T) {
			part := body[:b.Size]
			// The liar spoils 100,000 bytes of the first unit and goes; another one has to finish
			// it.
			liar := cutAfter(having("liar", flip(5), part), 100_000)
			liar.open = once(liar.open)
			honest := having("honest", nil, part)
			s := newStore(t)
			var accused []string
			o := quick(liar, honest, lists)
			o.Liar = func(e *fetch.SourceError) { accused = append(accused, e.Source) }
			if err := fetch.New(s, o).Fetch(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			want(t, s, part)
			if fmt.Sprint(accused) != "[liar]" {
				t.Errorf("accused %v, want the liar", accused)
			}
		})
	}
}

// once opens a blob once and is down afterwards.
func once(open func(context.Context, digest.Digest, int64) (io.ReadCloser, int64, error)) func(context.Context, digest.Digest, int64) (io.ReadCloser, int64, error) {
	var asked bool
	return func(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
		if asked {
			return nil, -1, errDown
		}
		rc, size, err := open(ctx, d, off)
		asked = asked || err == nil
		return rc, size, err
	}
}

func TestKinds(t *testing.T) {
	body := random(24, 1000)
	none, down, liar := having("empty", nil), failing("down", errDown), having("liar", flip(1), body)
	denied := failing("strict", errs.Errorf(errs.Denied, "403"))
	pin := failing("other key", errs.Errorf(errs.Untrusted, "not the pinned key"))
	for _, c := range []struct {
		sources []fetch.Source
		kind    errs.Kind
	}{
		{nil, errs.Unavailable},
		{[]fetch.Source{none}, errs.NotFound},
		{[]fetch.Source{down}, errs.Unavailable},
		{[]fetch.Source{none, down}, errs.Unavailable},
		{[]fetch.Source{none, liar}, errs.Untrusted},
		{[]fetch.Source{liar, none}, errs.Untrusted},
		{[]fetch.Source{liar, down}, errs.Unavailable},
		{[]fetch.Source{denied, none}, errs.Unavailable},
		{[]fetch.Source{pin, none}, errs.Untrusted},
	} {
		err := fetch.New(newStore(t), quick(c.sources...)).Fetch(t.Context(), plainBlob(body))
		if errs.KindOf(err) != c.kind {
			t.Errorf("%v: kind %v, want %v", err, errs.KindOf(err), c.kind)
		}
	}
	for _, b := range []fetch.Blob{
		{},
		{Digest: digest.Of(body)},
		{Digest: digest.Of(body), Size: 9, Chunks: "x"},
		{Digest: digest.Of(body), Size: 9, Chunks: digest.Of(body)},
	} {
		if err := fetch.New(newStore(t), quick(none)).Fetch(t.Context(), b); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: got %v, want Invalid", b, err)
		}
	}
	if err := fetch.New(newStore(t), fetch.Options{}).Fetch(t.Context(), fetch.Blob{Digest: digest.Of(nil)}); err != nil {
		t.Errorf("the empty blob needs no source: %v", err)
	}
}

func TestSourcesAreAskedInOrder(t *testing.T) {
	body := random(25, 5000)
	down, first, second := failing("down", errDown), having("first", nil, body), having("second", nil, body)
	s := newStore(t)
	if err := fetch.New(s, quick(having("empty", nil), down, first, second)).Fetch(t.Context(), plainBlob(body)); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
	if down.asked() != 1 || first.asked() != 1 || second.asked() != 0 {
		t.Errorf("asked: down %d, first %d, second %d; want 1, 1, 0", down.asked(), first.asked(), second.asked())
	}
}

func TestASmallBlobDoesNotWaitForADeadSourceEachTime(t *testing.T) {
	var bodies [][]byte
	var blobs []fetch.Blob
	for i := range 1000 {
		bodies = append(bodies, random(uint64(i), 300+i))
		blobs = append(blobs, plainBlob(bodies[i]))
	}
	link := behind(t, badlink.Faults{}, bodies...)
	dead := failing("dead", errDown)
	s := newStore(t)
	o := fetch.Options{Sources: []fetch.Source{dead, link.src}}
	if err := fetch.New(s, o).All(t.Context(), blobs); err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		want(t, s, body)
	}
	if n := link.Counts().Conns; n > 2*fetch.DefaultParallel {
		t.Errorf("%d connections for 1,000 blobs, want them kept", n)
	}
	if dead.asked() > 200 {
		t.Errorf("the dead source was asked %d times", dead.asked())
	}
}

func TestTwoFetchersOfOneBlobMoveItOnce(t *testing.T) {
	body := random(26, 6*mib)
	b, list := withChunks(t, body)
	link := behind(t, badlink.Faults{CutEvery: 2_500_000}, body, list)
	dir := t.TempDir()
	// Two processes' worth of stores, and two callers of each.
	var wg sync.WaitGroup
	for range 2 {
		f := fetch.New(openStore(t, dir, storedir.Options{}), quick(link.src))
		for range 2 {
			wg.Go(func() {
				if err := f.Fetch(t.Context(), b); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	want(t, openStore(t, dir, storedir.Options{}), body)
	atMost(t, link.Link, len(body))
}

func TestAChunkListOfAnotherBlob(t *testing.T) {
	body, other := random(30, 2*mib+5), random(31, 2*mib+5)
	b := plainBlob(body)
	_, list := withChunks(t, other)
	b.Chunks = digest.Of(list)
	// Whoever sends what the list says makes a blob that is not the
	// one signed: nobody can be right.
	src := having("source", nil, list)
	inner := src.open
	src.open = func(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
		if d == b.Digest {
			return io.NopCloser(bytes.NewReader(other[off:])), int64(len(other)), nil
		}
		return inner(ctx, d, off)
	}
	err := fetch.New(newStore(t), quick(src)).Fetch(t.Context(), b)
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "chunk list") {
		t.Errorf("got %v, want Untrusted and the chunk list named", err)
	}
	b.Chunks = digest.Of([]byte("short"))
	err = fetch.New(newStore(t), quick(having("source", nil, body, []byte("short")))).Fetch(t.Context(), b)
	if err == nil {
		t.Error("a chunk list of a wrong length was taken")
	}
}

func TestAMissingChunkListIsDoneWithout(t *testing.T) {
	body := random(32, 2*mib+5)
	b, _ := withChunks(t, body)
	s := newStore(t)
	if err := fetch.New(s, quick(having("source", nil, body))).Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
}

func TestASourceThatStartsOnlyAtZeroIsTheLastResort(t *testing.T) {
	body := random(33, 16*mib)
	b, list := withChunks(t, body)
	for name, b := range map[string]fetch.Blob{"with a chunk list": b, "without": plainBlob(body)} {
		t.Run(name, func(t *testing.T) {
			whole := behind(t, badlink.Faults{CutEvery: 1_500_000}, body, list)
			whole.Origin.Set(badlink.IgnoreRange)
			ranged := behind(t, badlink.Faults{}, body, list)
			s := newStore(t)
			if err := fetch.New(s, quick(whole.src, ranged.src)).Fetch(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			want(t, s, body)
			both := whole.Counts().Down + ranged.Counts().Down
			if float64(both) > 1.02*float64(len(body)) {
				t.Errorf("moved %d bytes for %d", both, len(body))
			}

			// Alone it is used all the same, and costs the prefix once more.
			s = newStore(t)
			in, err := store.Resume(t.Context(), s, b.Digest, b.Size)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write(body[:mib+50]); err != nil {
				t.Fatal(err)
			}
			if err := in.Close(); err != nil {
				t.Fatal(err)
			}
			whole.Link.Set(badlink.Faults{})
			if err := fetch.New(s, quick(whole.src)).Fetch(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			want(t, s, body)
		})
	}
}

func TestMischief(t *testing.T) {
	body := random(34, 2*mib+77)
	b, list := withChunks(t, body)
	for name, m := range map[string]badlink.Mischief{
		"captive portal": badlink.Portal, "portal of the right length": badlink.PortalSameLen, "ignored range": badlink.IgnoreRange,
		"wrong range": badlink.WrongRange, "too long a range": badlink.RangeTooLong, "too long a length": badlink.LongLength,
		"short body": badlink.ShortBody, "endless body": badlink.Endless, "gzip": badlink.Gzipped,
		"redirects": badlink.Redirects, "unavailable": badlink.Unavailable, "no length": badlink.NoLength,
	} {
		t.Run(name, func(t *testing.T) {
			odd, good := behind(t, badlink.Faults{}, body, list), behind(t, badlink.Faults{}, body, list)
			odd.Origin.Set(m)
			for what, have := range map[string]int{"from the beginning": 0, "from the middle": mib + 10} {
				for _, size := range []int64{b.Size, -1} {
					s := newStore(t)
					if have > 0 {
						in, err := store.Resume(t.Context(), s, b.Digest, size)
						if err != nil {
							t.Fatal(err)
						}
						if _, err := in.Write(body[:have]); err != nil {
							t.Fatal(err)
						}
						if err := in.Close(); err != nil {
							t.Fatal(err)
						}
					}
					want := b
					if want.Size = size; size < 0 {
						want.Chunks = ""
					}
					alone := quick(odd.src)
					alone.Attempts, alone.Unknown = 3, 3*mib
					err := fetch.New(s, alone).Fetch(t.Context(), want)
					if (err == nil) != storetest.Has(t, s, b.Digest) {
						t.Fatalf("%s: got %v, and the store has it: %v", what, err, storetest.Has(t, s, b.Digest))
					}
					if err == nil {
						if err := store.Verify(t.Context(), s, b.Digest); err != nil {
							t.Fatalf("%s: something else reached the store: %v", what, err)
						}
					}
					if err := fetch.New(s, quick(odd.src, good.src)).Fetch(t.Context(), want); err != nil {
						t.Fatalf("%s, size %d, beside a good source: %v", what, size, err)
					}
					if err := store.Verify(t.Context(), s, b.Digest); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

func TestAPortalThatGoesAway(t *testing.T) {
	body := random(35, 3*mib)
	b, list := withChunks(t, body)
	link := behind(t, badlink.Faults{}, body, list)
	link.Origin.Set(badlink.Portal)
	s := newStore(t)
	o := quick(link.src)
	asks := 0
	o.Sources = []fetch.Source{&fake{name: "site", open: func(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
		if asks++; asks == 5 {
			link.Origin.Set(badlink.Honest)
		}
		return link.src.Open(ctx, d, off)
	}}}
	if err := fetch.New(s, o).Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
	atMost(t, link.Link, len(body))
}

func TestASourceThatStartsOnlyAtZeroOverALinkThatIsCutGivesUp(t *testing.T) {
	body := random(42, 4*mib)
	link := behind(t, badlink.Faults{CutEvery: 1_500_000}, body)
	link.Origin.Set(badlink.IgnoreRange)
	o := quick(link.src)
	o.Attempts = 4
	err := fetch.New(newStore(t), o).Fetch(t.Context(), plainBlob(body))
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(err.Error(), link.src.Name()) {
		t.Errorf("got %v (%v), want Unavailable and the source named", err, errs.KindOf(err))
	}
	if n, _ := link.Requests(); n > 3*o.Attempts {
		t.Errorf("%d requests without progress", n)
	}
}

func TestAPortalInTheWayOfTLS(t *testing.T) {
	body := random(43, 3*mib)
	origin := badlink.NewOrigin(nil, body)
	defer origin.Close()
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<h1>Welcome</h1>")
	}))
	defer portal.Close()
	seen, err := badlink.Listen(badlink.To(portal.Listener.Addr().String()), badlink.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	_, err = site(t, origin.URL(seen.Addr()), fetch.SiteOptions{Attempts: 1}).Metadata(t.Context(), "timestamp.json", 1000)
	if errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "log in") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
	var conns atomic.Int64
	// The portal takes the first connections, until somebody has accepted its terms.
	link, err := badlink.Listen(func(ctx context.Context) (net.Conn, error) {
		if conns.Add(1) <= 4 {
			return badlink.To(portal.Listener.Addr().String())(ctx)
		}
		return badlink.To(origin.Addr())(ctx)
	}, badlink.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	s := newStore(t)
	if err := fetch.New(s, quick(site(t, origin.URL(link.Addr()), fetch.SiteOptions{}))).Fetch(t.Context(), plainBlob(body)); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
	atMost(t, link, len(body))
	if n := conns.Load(); n != 5 {
		t.Errorf("%d connections, want 4 to the portal and 1 to the site", n)
	}
}

func TestMetadataOverABadLink(t *testing.T) {
	link := behind(t, badlink.Faults{Refuse: 0.3, Seed: 3}, nil)
	link.AddTrust("timestamp.json", []byte(`{"v":1}`))
	for i := range 20 {
		link.src.CloseIdleConnections()
		if got, err := link.src.Metadata(t.Context(), "timestamp.json", 100); err != nil || string(got) != `{"v":1}` {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
	}
	if _, err := link.src.Metadata(t.Context(), "2.root.json", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v, want ErrNotExist", err)
	}
	link.Origin.Set(badlink.Endless)
	if _, err := link.src.Metadata(t.Context(), "timestamp.json", 100); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("endless: %v, want an error", err)
	}
	link.Origin.Set(badlink.Portal)
	if got, err := link.src.Metadata(t.Context(), "timestamp.json", 1000); errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "log in") {
		t.Errorf("a portal's page was taken: %q, %v, hint %q", got, err, errs.HintOf(err))
	}
}
