package agent_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// TestDamagedFiles damages each file below a node that runs r1, one at a time: the next agent keeps
// the service, and a newer volume is installed, or refused with words that say what to do.
func TestDamagedFiles(t *testing.T) {
	damages := map[string]func(b []byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"half":    func(b []byte) []byte { return b[:len(b)/2] },
		"garbage": func([]byte) []byte { return bytes.Repeat([]byte{0xfe, '{', 0}, 500) },
	}
	w := newWorld(t)
	one, two := w.wallet(v1, "up one"), w.wallet(v2, "up two")
	w.mustInstall(one)
	var files []string
	must(t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(w.dir, path)
			files = append(files, rel)
		}
		return err
	}))
	mustUninstall(t, w.open(), true)
	for _, file := range files {
		if strings.HasSuffix(file, ".log") || strings.HasSuffix(file, "lock") {
			continue // nothing is read back from these
		}
		for name, damage := range damages {
			t.Run(strings.ReplaceAll(file, "/", " ")+" "+name, func(t *testing.T) {
				w.t, w.dir = t, filepath.Join(t.TempDir(), "node")
				w.Boot()
				w.mustInstall(one)
				path := filepath.Join(w.dir, file)
				b, err := os.ReadFile(path)
				must(t, err)
				must(t, os.Remove(path)) // not through a hard link: the program is another file
				must(t, os.WriteFile(path, damage(b), 0o755))
				w.Calls()
				r, err := w.install(two, nodeapi.InstallOptions{})
				switch {
				case err == nil && r.Outcome == nodeapi.Installed:
					w.runs("wallet.node: up two")
				case err == nil:
					t.Errorf("report: %+v", r)
				case errs.HintOf(err) == "":
					t.Errorf("the error does not say what to do: %v", err)
				default:
					t.Logf("%s: %s", errs.KindOf(err), errs.Explain(err))
					w.runs("wallet.node: up one")
				}
			})
		}
	}
}

// TestDamagedBytesAreFetchedAgain damages what generation and depot share, and
// installs the same volume again.
func TestDamagedBytesAreFetchedAgain(t *testing.T) {
	w := newWorld(t)
	one := w.wallet(v1, "up one")
	w.mustInstall(one)
	must(t, os.Truncate(filepath.Join(w.dir, "gen", "1", "bin", "wallet", "node"), 3))
	w.Boot()
	a := w.open()
	if s := a.Status(); s.Generation != 0 || len(s.Problems) != 1 || !strings.Contains(s.Problems[0], "install the same volume again") {
		t.Errorf("status: %+v", s)
	}
	must(t, a.Close())
	w.mustInstall(one)
	w.runs("wallet.node: up one")

	// Blobs that an interrupted installation left in the depot, and that rotted there.
	two := w.wallet(v2, "up two")
	desc, err := w.Depot.Resolve(t.Context(), "wallet@"+v2)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(w.dir, "depot", "blobs", "sha256", desc.Digest.Encoded()), []byte("rotten"), 0o644))
	w.mustInstall(two)
	w.runs("wallet.node: up two")
}
