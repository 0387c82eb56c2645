package plain_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/digest"
	"overland/internal/ecosystem/plain"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

func TestPinsAreRead(t *testing.T) {
	one, two := digest.Of([]byte("one")), digest.Of([]byte("two"))
	got, err := plain.ParsePins(strings.NewReader("# tools\n\n" + one.Encoded() + "  HTTPS://Example.org:443/a\n" + two.Encoded() + " *http://example.org\r\n"))
	if d := cmp.Diff(plain.Pins{"https://example.org/a": one, "http://example.org/": two}, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for what, text := range map[string]string{
		"no URL":         one.Encoded() + "\n",
		"a file's name":  one.Encoded() + "  tool.tar.gz\n",
		"no digest":      "https://example.org/a\n",
		"a short digest": one.Encoded()[1:] + "  https://example.org/a\n",
		"two digests":    one.Encoded() + "  https://example.org/a\n" + two.Encoded() + "  https://example.org/a\n",
		"a long line":    one.Encoded() + "  https://example.org/" + strings.Repeat("a", plain.LineLimit),
		"a long file":    strings.Repeat("#\n", plain.PinsLimit/2+1),
	} {
		if _, err := plain.ParsePins(strings.NewReader(text)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

func TestAPinnedURL(t *testing.T) {
	body := "good"
	origin := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	defer origin.Close()
	good := digest.Of([]byte("good"))
	l := newLab(t, origin)
	l.urls.Pins = plain.Pins{origin.URL + "/tool": good}
	script := "curl -fsS " + origin.URL + "/tool"

	for _, bad := range []string{"evil", "<html>please log in</html>"} {
		body = bad
		r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
		out, err := l.run(t, r, script)
		r.Close()
		if err == nil || len(r.Lock().Entries) != 0 || len(r.Problems()) != 1 {
			t.Fatalf("%v\n%s\n%v", err, out, r.Problems())
		}
		problem := r.Problems()[0]
		for _, want := range []string{string(good), string(digest.Of([]byte(bad)))} {
			if errs.KindOf(problem) != errs.Untrusted || !strings.Contains(problem.Error(), want) {
				t.Errorf("%v, want %s", problem, want)
			}
		}
		if list, err := os.ReadDir(l.store.Dir() + "/blobs/sha256"); err != nil || len(list) != 0 {
			t.Errorf("%d blobs are stored, %v", len(list), err)
		}
	}

	body = "good"
	r := record.NewRecorder(l.store, record.Options{Upstream: l.up})
	defer r.Close()
	if out, err := l.run(t, r, script+"; curl -fsS "+origin.URL+"/other"); err != nil || out != "goodgood" {
		t.Fatalf("%v\n%s", err, out)
	}
	lock := r.Lock()
	pinned, other := 1, 0
	if p := lock.Entries[pinned].Proof; p != (lockfile.Proof{Kind: plain.ProofPin, Value: string(good)}) || lock.Entries[other].Proof != (lockfile.Proof{}) {
		t.Errorf("%+v", lock.Entries)
	}
	verify := func(pins plain.Pins) []error {
		return record.Verify(t.Context(), record.NewReplayer(l.store, lock), plain.Protocol{Pins: pins})
	}
	if bad := verify(l.urls.Pins); len(bad) != 0 {
		t.Error(bad)
	}
	// A pin that came after the first recording becomes the proof; one
	// of other bytes stops everything.
	held, err := plain.Pins{lock.Entries[other].Key: good}.Hold(lock)
	if err != nil || held.Entries[other].Proof.Kind != plain.ProofPin || lock.Entries[other].Proof.Kind != "" {
		t.Errorf("%+v, %v", held, err)
	}
	if _, err := (plain.Pins{lock.Entries[other].Key: digest.Of(nil)}).Hold(lock); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("error %v", err)
	}

	// Somebody changes the line and the blob.
	evil, n, err := l.store.Put(t.Context(), strings.NewReader("evil"), "", -1)
	if err != nil {
		t.Fatal(err)
	}
	lock.Entries[pinned].Blob, lock.Entries[pinned].Size = evil, n
	for _, proof := range []lockfile.Proof{{Kind: plain.ProofPin, Value: string(evil)}, {}} {
		lock.Entries[pinned].Proof = proof
		if bad := verify(l.urls.Pins); len(bad) != 1 || errs.KindOf(bad[0]) != errs.Untrusted || !strings.Contains(bad[0].Error(), "pinned is "+string(good)) {
			t.Errorf("%v: %v", proof, bad)
		}
	}
	lock.Entries[pinned].Proof = lockfile.Proof{Kind: plain.ProofPin, Value: string(evil)}
	if bad := verify(nil); len(bad) != 1 || errs.KindOf(bad[0]) != errs.Untrusted { // and drops the pin
		t.Errorf("%v", bad)
	}
}

func FuzzParsePins(f *testing.F) {
	f.Add(digest.Of(nil).Encoded() + "  https://example.org/a\n# x\n")
	f.Add(digest.Of(nil).Encoded() + " *http://example.org:80\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		pins, err := plain.ParsePins(strings.NewReader(text))
		if err != nil {
			return
		}
		for key, d := range pins {
			again, err := plain.ParsePins(strings.NewReader(d.Encoded() + "  " + key))
			if err != nil || again[key] != d {
				t.Errorf("%q: %v, %v", key, again, err)
			}
		}
	})
}
