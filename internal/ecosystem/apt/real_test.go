package apt_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/ecosystem/apt"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/recording"
)

// newApt returns a runner of the machine's apt-get, set up to go through
// base, and the folder it works in.
func newApt(t *testing.T, p *apt.Protocol, base string, settings ...string) (work string, run func(args ...string) (string, error)) {
	t.Helper()
	before := filepath.Join(t.TempDir(), "before.conf")
	if err := os.WriteFile(before, []byte("Acquire::http::Proxy \"http://127.0.0.1:1\";\nDir::Etc::sourcelist \"/none\";\n"+strings.Join(settings, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	env, err := p.Setup(t.TempDir(), base, "/none", before)
	if err != nil {
		t.Fatal(err)
	}
	work = t.TempDir()
	return work, func(args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), "apt-get", append([]string{"-q"}, args...)...)
		c.Dir = work
		c.Env = append(append(os.Environ(), env...), "LC_ALL=C")
		out, err := c.CombinedOutput()
		return string(out), err
	}
}

// serve returns the URL of a proxy that answers with what k has of p's archives.
func serve(t *testing.T, k record.Getter, p *apt.Protocol) string {
	t.Helper()
	mounted := record.Handler(k, p)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(r.Context())
		inner.URL = &url.URL{Path: "/" + p.Name() + p.Below(r.URL)}
		mounted.ServeHTTP(w, inner)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func debs(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]byte{}
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		got[filepath.Base(p)] = b
	}
	return got
}

// TestAptGetIsRecordedAndReplayed takes the machine's own apt-get and the
// archives of the machine's own sources.
func TestAptGetIsRecordedAndReplayed(t *testing.T) {
	sources, err := apt.MachineSources()
	if err != nil {
		t.Fatal(err)
	}
	p, err := apt.New(sources, apt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := recording.Store(t)
	rec := recording.Recorder(t, s, nil)
	recorded, run := newApt(t, p, serve(t, rec, p))
	for _, args := range [][]string{{"update"}, {"download", "hello"}} {
		if out, err := run(args...); err != nil || strings.Contains(out, "\nErr:") || strings.Contains(out, "\nW:") {
			t.Fatalf("apt-get %v: %v\n%s\n%v", args, err, out, rec.Problems())
		}
	}
	lock := rec.Lock()
	kinds := map[string]int{}
	for _, e := range lock.Entries {
		kinds[e.Proof.Kind]++
		if e.Exists() && e.Proof.Value == "" {
			t.Errorf("%s has no proof", e.Key)
		}
	}
	if kinds[apt.ProofKey] == 0 || kinds[apt.ProofRelease] == 0 || kinds[apt.ProofIndex] != 1 {
		t.Errorf("proofs: %v", kinds)
	}

	// The lock goes through its text, and another apt with empty lists gets the
	// same files from what is on disk.
	var text bytes.Buffer
	if err := lock.Write(&text); err != nil {
		t.Fatal(err)
	}
	lock, err = lockfile.Parse(&text, 0)
	if err != nil {
		t.Fatal(err)
	}
	rep := record.NewReplayer(s, lock)
	replayed, run := newApt(t, p, serve(t, rep, p))
	for _, args := range [][]string{{"update"}, {"download", "hello"}} {
		if out, err := run(args...); err != nil || strings.Contains(out, "\nErr:") {
			t.Fatalf("replay apt-get %v: %v\n%s\n%v", args, err, out, rep.Misses())
		}
	}
	if got, want := debs(t, replayed), debs(t, recorded); len(want) != 1 || !cmp.Equal(got, want) {
		t.Errorf("recorded %d packages, replayed %d, or they differ", len(want), len(got))
	}
	if m := rep.Misses(); len(m) > 0 {
		t.Errorf("misses: %v", m)
	}
	// So does one on a machine with none of these sources and none of
	// their keys, and with other tastes.
	elsewhere, err := apt.New(apt.LockedSources(t.Context(), lock, s, nil), apt.Options{Locked: true, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	replayed, foreign := newApt(t, elsewhere, serve(t, rep, elsewhere), `Dir::Etc::trusted "/none";`, `Dir::Etc::trustedparts "/none";`,
		`#clear Acquire::Languages;`, `Acquire::Languages { "de"; "en"; };`)
	for _, args := range [][]string{{"update"}, {"download", "hello"}} {
		if out, err := foreign(args...); err != nil || strings.Contains(out, "\nErr:") {
			t.Fatalf("elsewhere apt-get %v: %v\n%s\n%v", args, err, out, rep.Misses())
		}
	}
	if got, want := debs(t, replayed), debs(t, recorded); !cmp.Equal(got, want) || len(rep.Misses()) > 0 {
		t.Errorf("elsewhere %d packages, or they differ; misses: %v", len(got), rep.Misses())
	}
	if out, err := run("download", "sl"); err == nil {
		t.Errorf("a package that was never recorded was had:\n%s", out)
	} else if len(rep.Misses()) != 1 {
		t.Errorf("misses: %v", rep.Misses())
	}
}
