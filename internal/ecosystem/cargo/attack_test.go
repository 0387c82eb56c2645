package cargo_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/ecosystem/cargo"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
	"overland/internal/store/dir"
	"overland/internal/testkit/pack"
	"overland/internal/testkit/recording"
)

type session struct {
	t *testing.T
	*recording.Origin
	protocol *cargo.Protocol
	recorder *record.Recorder
	store    *dir.Store
}

func newSession(t *testing.T, registry http.Handler) *session {
	t.Helper()
	o := recording.NewOrigin(t, registry)
	s := &session{t: t, Origin: o, store: recording.Store(t)}
	var err error
	if s.protocol, err = cargo.New("sparse+"+o.URL+"/index", s); err != nil {
		t.Fatal(err)
	}
	s.begin(nil)
	return s
}

// begin starts a recorder with what is locked.
func (s *session) begin(locked *lockfile.Lock) {
	s.recorder = recording.Recorder(s.t, s.store, locked)
}

// Get gets what proves a crate from the recorder of the moment.
func (s *session) Get(ctx context.Context, p record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	return s.recorder.Get(ctx, p, it)
}

// fetch asks as cargo does and returns what is served.
func (s *session) fetch(path string) (lockfile.Entry, string, error) {
	s.t.Helper()
	return recording.Fetch(s.t, s.recorder, s.protocol, path, "")
}

var tea = pack.NewCrate("Tea_Pot", "1.0.0+hot", "")

const (
	teaIndex = "/te/a_/tea_pot"
	teaCrate = "/crates/Tea_Pot/Tea_Pot-1.0.0+hot.crate"
)

func dl() string { return "/dl/te/a_/Tea_Pot/1.0.0+hot/" + digest.Of(tea.Bytes).Encoded() }

func TestACrateIsRecordedWithItsProof(t *testing.T) {
	for _, first := range []string{"/config.json", teaIndex, ""} {
		s := newSession(t, pack.Crates{tea})
		if first != "" {
			e, got, err := s.fetch(first)
			if err != nil || !e.Mutable || e.Proof.Kind != cargo.ProofIndex {
				t.Errorf("%s: %+v, %v", first, e, err)
			}
			want := tea.Line()
			if first == "/config.json" {
				want = `{"dl":"http://recorder/cargo/crates/{crate}/{crate}-{version}.crate"}`
			}
			if got != want {
				t.Errorf("%s: served %s", first, got)
			}
		}
		want := lockfile.Proof{Kind: cargo.ProofCrate, Value: digest.Of(tea.Bytes).Encoded()}
		e, got, err := s.fetch(teaCrate)
		if err != nil || got != string(tea.Bytes) || e.Proof != want || e.Mutable {
			t.Errorf("%q: %+v, %v", first, e, err)
		}
		if l := s.recorder.Lock(); len(l.Entries) != 3 {
			t.Errorf("%q: %+v", first, l)
		}
		if e, _, err := s.fetch("/mi/lk/milk"); err != nil || e.Status != http.StatusNotFound {
			t.Errorf("what is not there: %+v, %v", e, err)
		}
	}
}

func TestAttacks(t *testing.T) {
	const index, config = "/index" + teaIndex, "/index/config.json"
	zeros := strings.Repeat("0", 64)
	page := func(path, body string) func(*session) {
		return func(s *session) { s.Answer(path, recording.Text("application/octet-stream", body)) }
	}
	portal := func(path string) func(*session) {
		return func(s *session) { s.Answer(path, recording.Text("text/html", "<!DOCTYPE html>log in")) }
	}
	loop := func(path string) func(*session) {
		return func(s *session) {
			s.Answer(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, path, http.StatusFound) })
		}
	}
	lineOf := func(name, version, sum string) string {
		return fmt.Sprintf(`{"name":%q,"vers":%q,"cksum":%q}`+"\n", name, version, sum)
	}
	for _, c := range []struct {
		name   string
		before bool // index and configuration are fetched before the attack
		attack func(*session)
		ask    string
		kind   errs.Kind
		stored int // documents that are stored by the attempt
		want   string
	}{
		{"another crate", true, page(dl(), "\x1f\x8b evil"), teaCrate, errs.Untrusted, 0, digest.Of(tea.Bytes).Encoded()},
		{"another crate, no index before", false, page(dl(), "\x1f\x8b evil"), teaCrate, errs.Untrusted, 2, "the index has"},
		{"wrong checksum in the index", false, func(s *session) {
			s.Answer(index, recording.Text("", lineOf("Tea_Pot", "1.0.0+hot", zeros)))
			s.Answer("/dl/te/a_/Tea_Pot/1.0.0+hot/"+zeros, recording.Text("", string(tea.Bytes)))
		}, teaCrate, errs.Untrusted, 2, "the index has " + zeros},
		{"portal for a crate", true, portal(dl()), teaCrate, errs.Unavailable, 0, "a web page in place of it"},
		{"portal for an index", false, portal(index), teaIndex, errs.Unavailable, 0, "a web page in place of it"},
		{"portal for the configuration", false, page(config, "Welcome! <html>log in</html>"), "/config.json", errs.Untrusted, 0, "config.json"},
		{"short crate", true, func(s *session) {
			s.Answer(dl(), func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(len(tea.Bytes)))
				_, _ = w.Write(tea.Bytes[:100])
			})
		}, teaCrate, errs.Unavailable, 0, "broke off after 100 bytes"},
		{"short crate, called whole", true, page(dl(), string(tea.Bytes[:100])), teaCrate, errs.Untrusted, 0, "the index has"},
		{"index of another crate", false, page(index, lineOf("evil", "1.0.0", zeros)), teaIndex, errs.Untrusted, 0, `it is of "evil"`},
		{"another crate among the versions", false, page(index, lineOf("tea_pot", "1.0.0", zeros)+lineOf("evil", "1.0.1", zeros)), teaIndex, errs.Untrusted, 0, "line 2"},
		{"index cut", false, page(index, lineOf("tea_pot", "1.0.0", zeros)[:20]), teaIndex, errs.Untrusted, 0, "unexpected end"},
		{"empty index", false, page(index, "\n"), teaIndex, errs.Untrusted, 0, "names no version"},
		{"no checksum", false, page(index, lineOf("tea_pot", "1.0.0", "")), teaIndex, errs.Untrusted, 0, "cksum"},
		{"one version, two checksums", false, page(index, lineOf("tea_pot", "1.0.0", zeros)+lineOf("tea_pot", "1.0.0", strings.Repeat("1", 64))), teaIndex, errs.Untrusted, 0, "twice"},
		{"version that the index does not name", true, nil, "/crates/Tea_Pot/Tea_Pot-6.6.6.crate", errs.NotFound, 0, "names no Tea_Pot 6.6.6"},
		{"crate that the index does not name", false, nil, "/crates/milk/milk-1.0.0.crate", errs.NotFound, 0, "names no milk"},
		{"crates on the machine", false, page(config, `{"dl":"file:///etc/{crate}"}`), teaCrate, errs.Untrusted, 1, "neither http nor https"},
		{"crates nowhere", false, page(config, `{}`), "/config.json", errs.Untrusted, 0, "neither http nor https"},
		{"a token is wanted", false, page(config, `{"dl":"http://x","auth-required":true}`), "/config.json", errs.Denied, 0, "token"},
		{"crate that moves without an end", true, loop(dl()), teaCrate, errs.Unavailable, 0, "redirects"},
		{"index that moves without an end", false, loop(index), teaIndex, errs.Unavailable, 0, "redirects"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t, pack.Crates{tea})
			if c.before {
				for _, path := range []string{"/config.json", teaIndex} {
					if _, _, err := s.fetch(path); err != nil {
						t.Fatal(err)
					}
					c.stored++
				}
			}
			if c.attack != nil {
				c.attack(s)
			}
			_, _, err := s.fetch(c.ask)
			if errs.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v (%v), want %q", err, errs.KindOf(err), c.want)
			}
			if n := recording.Blobs(t, s.recorder, s.store); n != c.stored {
				t.Errorf("%d blobs, want %d", n, c.stored)
			}
		})
	}
}

// What the index does not name is asked of nobody.
func TestOnlyTheIndexNamesCrates(t *testing.T) {
	s := newSession(t, pack.Crates{tea})
	if _, _, err := s.fetch(teaIndex); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.fetch("/crates/tea_pot/tea_pot-6.0.0.crate"); errs.KindOf(err) != errs.NotFound {
		t.Error(err)
	}
	if len(s.Asked()) != 1 {
		t.Errorf("asked %q", s.Asked())
	}
}

// A crate that changed under its name is not taken, and both digests are named: also when
// the index was changed with it.
func TestAChangedCrate(t *testing.T) {
	s := newSession(t, pack.Crates{tea})
	if _, _, err := s.fetch(teaCrate); err != nil {
		t.Fatal(err)
	}
	evil := pack.NewCrate("Tea_Pot", "1.0.0+hot", "evil")
	s.Become(pack.Crates{evil})
	e, _ := s.recorder.Lock().Find(cargo.Name, strings.TrimPrefix(teaCrate, "/crates/"))
	s.store = recording.Store(t)
	s.begin(&lockfile.Lock{Entries: []lockfile.Entry{e}}) // the index may move; the crate is locked
	_, _, err := s.fetch(teaCrate)
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), digest.Of(evil.Bytes).Encoded()) || !strings.Contains(err.Error(), digest.Of(tea.Bytes).Encoded()) {
		t.Error(err)
	}
}

// lock verify computes the proofs again from nothing but the lock and its blobs, and finds a line
// that was changed together with its blob.
func TestVerify(t *testing.T) {
	s := newSession(t, pack.Crates{tea})
	if _, _, err := s.fetch(teaCrate); err != nil {
		t.Fatal(err)
	}
	l := s.recorder.Lock()
	verify := func() []error {
		r := record.NewReplayer(s.store, l)
		return record.Verify(context.Background(), r, cargo.Machine(r))
	}
	if bad := verify(); len(bad) != 0 {
		t.Error(bad)
	}
	evil := []byte("evil")
	d, err := store.PutBytes(t.Context(), s.store, evil)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range l.Entries {
		if e.Proof.Kind == cargo.ProofCrate {
			l.Entries[i].Blob, l.Entries[i].Size, l.Entries[i].Proof.Value = d, int64(len(evil)), digest.Of(evil).Encoded()
		}
	}
	if bad := verify(); len(bad) != 1 || errs.KindOf(bad[0]) != errs.Untrusted {
		t.Error(bad)
	}
}

// What stands in an index never leads nearer than the index: neither to this machine nor to its network.
func TestAnIndexNamesNothingNearer(t *testing.T) {
	const index, address = "http://192.0.2.1/", "http://127.0.0.1:1/tea/1.0.0"
	p, err := cargo.New(index, nil)
	if err != nil {
		t.Fatal(err)
	}
	it, err := p.ItemOf("tea/tea-1.0.0.crate")
	if err == nil {
		it, err = p.Locate(t.Context(), it, func(_ context.Context, key string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(map[bool]string{true: `{"dl":"http://127.0.0.1:1/{crate}/{version}"}`, false: `{"name":"tea","vers":"1.0.0","deps":[],"cksum":"` + strings.Repeat("ab", 32) + `","features":{},"yanked":false}`}[strings.Contains(key, "config")])), nil
		})
	}
	if err != nil || it.Upstream != address {
		t.Fatalf("asked at %s, %v", it.Upstream, err)
	}
	if _, err := (&origin.Client{Dir: t.TempDir()}).Get(t.Context(), it.Request()); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("%v", err)
	}
}
