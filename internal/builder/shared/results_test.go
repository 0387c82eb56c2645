package shared_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"overland/internal/builder"
	"overland/internal/builder/shared"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/netcache"
	"overland/internal/netcache/server"
	"overland/internal/platform"
	"overland/internal/store"
	"overland/internal/testkit/shacache"
)

// pair is a network cache, a machine that uploads to it and one that only reads,
// and knows the first one's key.
func pair(t *testing.T) (c *shacache.Cache, maker, reader *machine) {
	c = shacache.New(t)
	keys := c.Keys("maker")
	maker = newMachine(t, c.Config(keys, keys), shared.ResultsOptions{})
	reader = newMachine(t, c.Config(shacache.Keys{}, keys), shared.ResultsOptions{ReadOnly: true})
	return c, maker, reader
}

func TestAResultTravels(t *testing.T) {
	_, maker, reader := pair(t)
	for name, w := range map[string]builder.Wanted{"of a kind of machine": wanted("c", &debian12), "static": wanted("go", nil)} {
		if _, found, err := reader.Get(t.Context(), w); found || err != nil {
			t.Fatalf("%s: before it is there: %v, %v", name, found, err)
		}
		made := maker.make(t, w, "program "+name)
		got, found, err := reader.Get(t.Context(), w)
		if err != nil || !found || got != made {
			t.Errorf("%s: got %+v, %v, %v, want %+v", name, got, found, err, made)
		}
		if b, err := reader.depot.Bytes(t.Context(), got.Digest, 100); err != nil || string(b) != "program "+name {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	reader.Put(t.Context(), wanted("c", &debian12), builder.Sharable{Digest: "sha256:none"})
	if got := maker.says() + reader.says(); got != "" {
		t.Errorf("said: %s", got)
	}
}

func TestAnotherKindNeverGetsIt(t *testing.T) {
	_, maker, reader := pair(t)
	maker.make(t, wanted("c", &debian12), "program")
	for name, change := range map[string]func(*platform.Host){
		"release 13": func(h *platform.Host) { h.Release = "13" },
		"glibc 2.31": func(h *platform.Host) { h.LibcVersion = "2.31" },
		"x86-64-v2":  func(h *platform.Host) { h.CPU = "x86-64-v2" },
		"musl":       func(h *platform.Host) { h.Libc = "musl"; h.LibcVersion = "1.2.3" },
		"unknown":    func(h *platform.Host) { *h = platform.Host{} },
	} {
		if _, found, err := reader.Get(t.Context(), wanted("c", kind(change))); found || err != nil {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	// A result without a kind is not one for this recipe.
	maker.make(t, wanted("static", nil), "program")
	if _, found, _ := reader.Get(t.Context(), wanted("static", &debian12)); found {
		t.Error("a result of no known kind was taken")
	}
}

func TestTheNearestKindIsTaken(t *testing.T) {
	_, maker, reader := pair(t)
	want := ""
	for _, cpu := range []string{"x86-64-v3", "x86-64-v1", "x86-64-v2", "x86-64-v4"} {
		made := maker.make(t, wanted("c", kind(func(h *platform.Host) { h.CPU = cpu })), "for "+cpu)
		if cpu == "x86-64-v2" {
			want = string(made.Digest)
		}
	}
	here := kind(func(h *platform.Host) { h.CPU = "x86-64-v2"; h.LibcVersion = "2.37" })
	if got, found, err := reader.Get(t.Context(), wanted("c", here)); err != nil || !found || string(got.Digest) != want {
		t.Errorf("got %+v, %v, %v", got, found, err)
	}
}

// Whatever a bad server, a bad account or the network does: nothing enters
// the depot, and it is built here.
func TestPoison(t *testing.T) {
	w := wanted("c", &debian12)
	for name, test := range map[string]struct {
		do   func(t *testing.T, c *shacache.Cache, maker *machine)
		said string
	}{
		"an entry of another recipe": {func(t *testing.T, c *shacache.Cache, maker *machine) {
			other := wanted("other", &debian12)
			maker.make(t, other, "evil")
			copyEntries(t, c, shared.Key(other), shared.Key(w), nil)
		}, "signed for key"},
		"an unknown signer": {func(t *testing.T, c *shacache.Cache, _ *machine) {
			keys := c.Keys("stranger")
			newMachine(t, c.Config(keys, keys), shared.ResultsOptions{}).make(t, w, "evil")
		}, "not known"},
		"a SHA-1 signature alone": {func(t *testing.T, c *shacache.Cache, _ *machine) {
			keys := c.Keys("old")
			keys.Ed25519 = ""
			newMachine(t, c.Config(keys, keys), shared.ResultsOptions{}).make(t, w, "evil")
		}, "no statement"},
		"another kind written in": {func(t *testing.T, c *shacache.Cache, maker *machine) {
			maker.make(t, wanted("c", kind(func(h *platform.Host) { h.Release = "13" })), "evil")
			copyEntries(t, c, shared.Key(w), shared.Key(w), func(r *server.Record) { r.Metadata = strings.Replace(r.Metadata, `"13"`, `"12"`, 1) })
		}, "does not hold"},
		"another blob": {func(t *testing.T, c *shacache.Cache, maker *machine) {
			maker.make(t, w, "good")
			c.Mischief(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/shacache/") {
					return false
				}
				_, _ = rw.Write([]byte("evil"))
				return true
			})
		}, "the bytes have sha512"},
		"a blob that is gone": {func(t *testing.T, c *shacache.Cache, maker *machine) {
			maker.make(t, w, "good")
			c.Mischief(func(rw http.ResponseWriter, r *http.Request) bool {
				if strings.HasPrefix(r.URL.Path, "/shacache/") {
					http.NotFound(rw, r)
				}
				return strings.HasPrefix(r.URL.Path, "/shacache/")
			})
		}, ""},
		"a captive portal": {func(_ *testing.T, c *shacache.Cache, _ *machine) {
			c.Mischief(func(rw http.ResponseWriter, _ *http.Request) bool {
				_, _ = rw.Write([]byte("<html>log in</html>"))
				return true
			})
		}, "everything is built here"},
		"no toolchain": {func(t *testing.T, _ *shacache.Cache, maker *machine) {
			d, err := store.PutBytes(t.Context(), maker.depot, []byte("x"))
			must(t, err)
			maker.Put(t.Context(), w, builder.Sharable{Digest: d, Size: 1})
		}, "not one of a build"},
	} {
		t.Run(name, func(t *testing.T) {
			c, maker, reader := pair(t)
			test.do(t, c, maker)
			got, found, err := reader.Get(t.Context(), w)
			if found || err != nil {
				t.Errorf("got %+v, %v, %v", got, found, err)
			}
			if said := reader.says(); !strings.Contains(said, test.said) || (said == "") != (test.said == "") {
				t.Errorf("said %q, want %q", said, test.said)
			}
			must(t, reader.depot.List(t.Context(), func(d digest.Digest, _ int64) error {
				t.Errorf("in the depot: %s", d)
				return nil
			}))
			// Where it must not be built, the same is an error.
			reader.Options().Force = netcache.Prefixes{"https://git.example/group"}
			reader.Forget()
			if _, found, err := reader.Get(t.Context(), w); err == nil || found || !strings.Contains(err.Error(), "never built") {
				t.Errorf("forced: %v, %v", found, err)
			}
		})
	}
}

// A good entry counts though a bad one stands before it.
func TestAGoodEntryAmongBadOnes(t *testing.T) {
	c, maker, reader := pair(t)
	w := wanted("c", &debian12)
	made := maker.make(t, w, "good")
	keys := c.Keys("stranger")
	newMachine(t, c.Config(keys, keys), shared.ResultsOptions{}).make(t, w, "evil")
	if got, found, err := reader.Get(t.Context(), w); err != nil || !found || got != made {
		t.Errorf("got %+v, %v, %v", got, found, err)
	}
	if said := reader.says(); !strings.Contains(said, "1 entries for app are not to be believed") {
		t.Errorf("said %q", said)
	}
}

func TestADeadCacheIsAskedOnce(t *testing.T) {
	c, maker, reader := pair(t)
	asked := 0
	c.Mischief(func(rw http.ResponseWriter, _ *http.Request) bool {
		asked++
		http.Error(rw, "broken", http.StatusBadGateway)
		return true
	})
	for range 3 {
		if _, found, err := reader.Get(t.Context(), wanted("c", &debian12)); found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
	}
	if said := reader.says(); asked != 1 || strings.Count(said, "\n") != 0 || !strings.Contains(said, "502") {
		t.Errorf("asked %d times, said %q", asked, said)
	}
	maker.make(t, wanted("c", &debian12), "x")
	if said := maker.says(); !strings.Contains(said, "not shared") {
		t.Errorf("said %q", said)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	reader.Forget()
	if _, _, err := reader.Get(ctx, wanted("c", &debian12)); errs.KindOf(err) != errs.Cancelled {
		t.Errorf("stopped: %v", err)
	}
}

// The lists are compared with the origin and the commit, in their normal form.
func TestListsOfURLs(t *testing.T) {
	c, maker, reader := pair(t)
	w := wanted("c", &debian12)
	asked := 0
	c.Mischief(func(http.ResponseWriter, *http.Request) bool { asked++; return false })
	maker.Options().Upload = netcache.Prefixes{"HTTPS://git.example/x/../group/app.git@0a0a"}
	maker.make(t, w, "x")
	reader.Options().Download = netcache.Prefixes{"https://someone@git.example//group/"}
	if _, found, err := reader.Get(t.Context(), w); found || err != nil || asked != 0 {
		t.Errorf("%v, %v, asked %d", found, err, asked)
	}
	reader.Options().Force = netcache.Prefixes{"https://git.example"}
	_, _, err := reader.Get(t.Context(), w)
	kindOfErr(t, err, errs.Denied, "download-from-binary-cache-url-blacklist")
	reader.Options().Download = nil
	_, _, err = reader.Get(t.Context(), w)
	kindOfErr(t, err, errs.NotFound, "never built")
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}

	// A folder as it is has no commit: it is neither shared nor looked for.
	w.Source.Tree = "dirty:" + strings.Repeat("0", 64)
	asked, maker.Options().Upload, reader.Options().Force = 0, nil, nil
	maker.make(t, w, "x")
	if _, found, err := reader.Get(t.Context(), w); found || err != nil || asked != 0 {
		t.Errorf("%v, %v, asked %d", found, err, asked)
	}
}

// An origin that cannot be read may hold a password: nothing of it is published.
func TestAnOriginThatIsNoURL(t *testing.T) {
	c := shacache.New(t)
	keys := c.Keys("maker")
	asked := 0
	c.Mischief(func(http.ResponseWriter, *http.Request) bool { asked++; return false })
	m := newMachine(t, c.Config(keys, keys), shared.ResultsOptions{
		Source: func(context.Context) (string, error) { return "https://u:secret%zz@git.example/app", nil },
	})
	w := wanted("c", nil)
	m.make(t, w, "x")
	if _, found, err := m.Get(t.Context(), w); found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
	if said := m.says(); asked != 0 || !strings.Contains(said, "not shared") || !strings.Contains(said, "not taken") || strings.Contains(said, "secret") {
		t.Errorf("asked %d times, said %q", asked, said)
	}
	m.Options().Force = netcache.Prefixes{"/"}
	if _, _, err := m.Get(t.Context(), w); errs.KindOf(err) != errs.Invalid {
		t.Errorf("with a force list: %v", err)
	}
}
