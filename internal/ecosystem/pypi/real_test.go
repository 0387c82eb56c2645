package pypi_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/ecosystem/pypi"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/testkit/pack"
)

// install runs a real pip, with an empty cache, through k: tea, which needs
// milk, which is a source archive.
func install(t *testing.T, pip []string, p *pypi.Protocol, k record.Getter, projects ...string) (string, string, error) {
	t.Helper()
	srv := httptest.NewServer(record.Handler(k, p))
	defer srv.Close()
	dir := t.TempDir()
	args := append(pip[1:], "install", "--no-cache-dir", "--no-input", "--no-compile", "--retries=0", "--root-user-action=ignore", "--target", dir)
	cmd := exec.CommandContext(t.Context(), pip[0], append(args, projects...)...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PIP_") && !strings.HasPrefix(strings.ToLower(kv), "http") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(append(cmd.Env, "PIP_CONFIG_FILE=/dev/null"), p.Env(srv.URL+"/pypi")...)
	out, err := cmd.CombinedOutput()
	got := ""
	for _, name := range []string{"tea.py", "milk.py"} {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		got += string(b)
	}
	return got, string(out), err
}

func again(t *testing.T, l *lockfile.Lock) *lockfile.Lock {
	t.Helper()
	var b bytes.Buffer
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	l, err := lockfile.Parse(&b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The real pip installs a wheel and builds a source archive through the recorder, and again with
// the origin dead, from an index with JSON and from one without.
func TestPipIsRecordedAndReplayed(t *testing.T) {
	const want = "WORD = 'tea'\nWORD = 'milk'\n"
	files := map[string][]byte{
		wheelFile:               pack.Wheel("tea", "1.0", "WORD = 'tea'\n", "milk>=1"),
		wheelFile + ".metadata": pack.Metadata("tea", "1.0", "milk>=1"),
		"milk-1.5.tar.gz":       pack.Sdist("milk", "1.5", "WORD = 'milk'\n"),
	}
	for _, c := range []struct {
		pip []string
		old bool // the index knows no JSON
	}{
		{[]string{"pip"}, false},                          // of the machine
		{[]string{"/usr/bin/python3", "-m", "pip"}, true}, // of Debian
	} {
		s := newSession(t, pack.PyPI{Files: files, HTMLOnly: c.old})
		got, out, err := install(t, c.pip, s.protocol, s.recorder, "Tea")
		if err != nil || got != want {
			t.Fatalf("%q: %v\n%s\n%v", c.pip, err, out, s.recorder.Problems())
		}
		s.Close()
		l := again(t, s.recorder.Lock())
		proven := 0
		for _, e := range l.Entries {
			if e.Proof.Kind == pypi.ProofFile {
				proven++
			}
		}
		if proven < 2 {
			t.Errorf("%+v", l)
		}
		replayer := record.NewReplayer(s.store, l)
		got, out, err = install(t, c.pip, pypi.Machine(nil), replayer, "tea")
		if err != nil || got != want || len(replayer.Misses()) != 0 {
			t.Errorf("%q: replay: %v\n%s\n%v", c.pip, err, out, replayer.Misses())
		}
		if _, out, err := install(t, c.pip, pypi.Machine(nil), replayer, "oil"); err == nil || len(replayer.Misses()) != 1 {
			t.Errorf("%q: what was never recorded was had: %v\n%s", c.pip, replayer.Misses(), out)
		}
	}
}
