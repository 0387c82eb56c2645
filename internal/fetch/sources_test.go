package fetch_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/digest"
	"overland/internal/fetch"
)

// Sites and peers come and go: one that lied about a blob is not asked for it again, and one that
// is down is not asked first, however the list of sources changed meanwhile.
func TestWhatIsKnownOfASourceOutlivesAChangeOfTheList(t *testing.T) {
	body, other := random(31, mib), random(32, mib)
	flip := func(b []byte) []byte { b[5] ^= 1; return b }
	named := func(name string) *fake { return having(name, flip, body) }
	liar, down, good := named("liar"), failing("down", errDown), having("good", nil, body, other)
	s := newStore(t)
	o := quick(liar, down, good)
	o.Backoff = time.Hour
	f := fetch.New(s, o)
	fetch := func(b []byte) {
		t.Helper()
		if err := f.Fetch(t.Context(), plainBlob(b)); err != nil {
			t.Fatal(err)
		}
		want(t, s, b)
		if err := s.Remove(t.Context(), digest.Of(b)); err != nil {
			t.Fatal(err)
		}
	}
	fetch(body)
	if liar.asked() != 1 || down.asked() != 1 {
		t.Fatalf("the liar was asked %d times, the dead one %d times", liar.asked(), down.asked())
	}

	f.SetSources(good) // they went
	fetch(body)

	back, alsoBack := named("liar"), failing("down", errDown)
	f.SetSources(alsoBack, back, good) // they come back, in another order
	fetch(body)
	fetch(other)
	if back.asked() != 1 { // for other, which it has not and never lied about
		t.Errorf("the liar was asked %d times after the list changed; want once, for another blob", back.asked())
	}
	if alsoBack.asked() != 0 {
		t.Errorf("the dead source was asked %d times after the list changed", alsoBack.asked())
	}
	if liar.asked() != 1 || down.asked() != 1 {
		t.Error("a source that went was asked")
	}
}

// Another key at the same address is another site: what the old one did does not stand against it.
func TestASiteIsRememberedByItsPin(t *testing.T) {
	one := site(t, "https://10.0.0.1:8443#"+onePin, fetch.SiteOptions{})
	other := site(t, "https://10.0.0.1:8443#sha256:"+digest.Of(nil).Encoded(), fetch.SiteOptions{})
	if fetch.SourceID(one) == fetch.SourceID(other) || one.Name() != other.Name() {
		t.Errorf("remembered as %q and %q", fetch.SourceID(one), fetch.SourceID(other))
	}
}

// keyed is a source with an id of its own.
type keyed struct {
	*fake
	id string
}

func (k keyed) ID() string { return k.id }

// What a source did is remembered under its id: one that has its
// name, and another key, begins anew.
func TestASourceIsRememberedByItsID(t *testing.T) {
	body := random(34, mib)
	flip := func(b []byte) []byte { b[5] ^= 1; return b }
	liar, honest := keyed{having("site", flip, body), "one"}, keyed{having("site", nil, body), "two"}
	s := newStore(t)
	f := fetch.New(s, quick(liar))
	if err := f.Fetch(t.Context(), plainBlob(body)); err == nil {
		t.Fatal("a lie was taken")
	}
	f.SetSources(honest)
	if err := f.Fetch(t.Context(), plainBlob(body)); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
}

// The first of two callers leaves: the transfer goes on for the other one, and is not begun anew.
func TestATransferOutlivesItsFirstCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := random(33, mib)
		release := make(chan struct{})
		slow := having("slow", nil, body)
		open := slow.open
		slow.open = func(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
			select {
			case <-release:
				return open(ctx, d, off)
			case <-ctx.Done():
				return nil, -1, ctx.Err()
			}
		}
		s := newStore(t)
		f := fetch.New(s, quick(slow))
		first, leave := context.WithCancel(t.Context())
		ends := make(chan error, 2)
		for _, ctx := range []context.Context{first, t.Context()} {
			go func() { ends <- f.Fetch(ctx, plainBlob(body)) }()
			synctest.Wait()
		}
		leave()
		if err := <-ends; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that left: %v", err)
		}
		close(release)
		if err := <-ends; err != nil {
			t.Errorf("the one that stayed: %v", err)
		}
		want(t, s, body)
		if slow.asked() != 1 {
			t.Errorf("the source was asked %d times", slow.asked())
		}
	})
}
