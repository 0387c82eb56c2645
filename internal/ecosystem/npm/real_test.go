package npm_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/ecosystem/npm"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/recording"
)

// project is a small real one: the package has a dependency, which has another.
const project = `{"name":"tea","version":"1.0.0","private":true,"dependencies":{"is-odd":"3.0.1"}}`

// runNPM runs npm with an empty cache in a folder that holds files; everything goes
// through k. It returns the folder.
func runNPM(t *testing.T, p *npm.Protocol, k record.Getter, files map[string]string, args ...string) (string, string, error) {
	t.Helper()
	srv := httptest.NewServer(record.Handler(k, p))
	defer srv.Close()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", append(args, "--ignore-scripts")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), p.Env("")...)
	cmd.Env = append(cmd.Env, "npm_config_registry="+srv.URL+"/npm/", "npm_config_replace_registry_host=always", "npm_config_omit_lockfile_registry_resolved=false", "npm_config_cache="+t.TempDir(), "npm_config_fetch_retries=0",
		"http_proxy=", "https_proxy=", "HTTP_PROXY=", "HTTPS_PROXY=", "npm_config_proxy=", "npm_config_https_proxy=", "npm_config_noproxy=*")
	out, err := cmd.CombinedOutput()
	return dir, string(out), err
}

// tree returns the digests of the files below dir/node_modules.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	root := filepath.Join(dir, "node_modules")
	got := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		// npm's own note of what it installed holds the address it came from.
		if err != nil || d.IsDir() || d.Name() == ".package-lock.json" {
			return err
		}
		b, err := os.ReadFile(path)
		got[strings.TrimPrefix(path, root)] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func again(t *testing.T, l *lockfile.Lock) *lockfile.Lock {
	t.Helper()
	var text bytes.Buffer
	if err := l.Write(&text); err != nil {
		t.Fatal(err)
	}
	l, err := lockfile.Parse(&text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestNPMIsRecordedAndReplayed takes the machine's own npm and the
// registry of its own configuration.
func TestNPMIsRecordedAndReplayed(t *testing.T) {
	config, err := npm.MachineConfig(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	getter := &session{t: t}
	p, err := npm.New(config, getter)
	if err != nil {
		t.Fatal(err)
	}
	s := recording.Store(t)
	rec := recording.Recorder(t, s, nil)
	getter.recorder = rec
	dir, out, err := runNPM(t, p, rec, map[string]string{"package.json": project}, "install")
	if err != nil {
		t.Fatalf("npm install: %v\n%s\n%v", err, out, rec.Problems())
	}
	want := tree(t, dir)
	if len(want) < 6 {
		t.Errorf("%d files were installed", len(want))
	}
	tarballs := 0
	for _, e := range rec.Lock().Entries {
		if strings.HasSuffix(e.Key, ".tgz") {
			tarballs++
			if e.Proof.Kind != npm.ProofIntegrity || !strings.HasPrefix(e.Proof.Value, "sha512-") || e.Mutable {
				t.Errorf("%+v", e)
			}
		}
	}
	if tarballs < 2 {
		t.Errorf("%d tarballs", tarballs)
	}

	rep := record.NewReplayer(s, again(t, rec.Lock()))
	replayed, out, err := runNPM(t, p, rep, map[string]string{"package.json": project}, "install")
	if err != nil {
		t.Fatalf("replay npm install: %v\n%s\n%v", err, out, rep.Misses())
	}
	if d := cmp.Diff(want, tree(t, replayed)); d != "" || len(rep.Misses()) > 0 {
		t.Errorf("%v\n%s", rep.Misses(), d)
	}
	if _, out, err := runNPM(t, p, rep, map[string]string{"package.json": project}, "install", "left-pad"); err == nil || len(rep.Misses()) == 0 {
		t.Errorf("what was never recorded was had: %v\n%s", rep.Misses(), out)
	} else if !strings.Contains(out, "never recorded: npm left-pad") {
		t.Errorf("npm does not say why:\n%s", out)
	}

	// npm ci asks for tarballs only; the recorder gets their manifests by itself.
	// The lock file names the registry.
	b, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(b), `"resolved": "`)
	local, _, ok2 := strings.Cut(after, "is-")
	if !ok || !ok2 {
		t.Fatalf("no addresses in the package-lock:\n%s", b)
	}
	files := map[string]string{"package.json": project, "package-lock.json": strings.ReplaceAll(string(b), local, config.Registry)}
	s = recording.Store(t)
	rec = recording.Recorder(t, s, nil)
	getter.recorder = rec
	dir, out, err = runNPM(t, p, rec, files, "ci")
	if err != nil {
		t.Fatalf("npm ci: %v\n%s\n%v", err, out, rec.Problems())
	}
	if d := cmp.Diff(want, tree(t, dir)); d != "" {
		t.Error(d)
	}
	if n := len(rec.Lock().Entries); n != 2*tarballs {
		t.Errorf("%d entries, want a tarball and a manifest of each of %d", n, tarballs)
	}
	rep = record.NewReplayer(s, again(t, rec.Lock()))
	dir, out, err = runNPM(t, p, rep, files, "ci")
	if err != nil {
		t.Fatalf("replay npm ci: %v\n%s\n%v", err, out, rep.Misses())
	}
	if d := cmp.Diff(want, tree(t, dir)); d != "" {
		t.Error(d)
	}
}
