package node_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/agent/node"
	"overland/internal/errs"
)

// damages are what can become of a file.
var damages = map[string]func(t testing.TB, path string){
	"gone":  func(t testing.TB, path string) { must(t, os.Remove(path)) },
	"empty": func(t testing.TB, path string) { must(t, os.Truncate(path, 0)) },
	"half": func(t testing.TB, path string) {
		b, err := os.ReadFile(path)
		must(t, err)
		b = bytes.TrimRight(b, "\x00")
		must(t, os.WriteFile(path, b[:len(b)/2], 0o600))
	},
	"zeros": func(t testing.TB, path string) { must(t, os.WriteFile(path, make([]byte, 4096), 0o600)) },
	"garbage": func(t testing.TB, path string) {
		b := make([]byte, 3000)
		rand.New(rand.NewSource(1)).Read(b)
		must(t, os.WriteFile(path, b, 0o600))
	},
	"one bit": func(t testing.TB, path string) {
		b, err := os.ReadFile(path)
		must(t, err)
		b[len(bytes.TrimRight(b, "\x00"))/2] ^= 4
		must(t, os.WriteFile(path, b, 0o600))
	},
}

// machine makes a node with r1 and r2 good, r2 current.
func machine(t testing.TB) string {
	dir := t.TempDir()
	n := open(t, dir, node.Options{})
	install(t, n, "r1")
	install(t, n, "r2")
	must(t, n.Close())
	return dir
}

func TestOneDamagedCopyOfTheState(t *testing.T) {
	for name, damage := range damages {
		for _, file := range []string{"state.a", "state.b"} {
			t.Run(file+" "+name, func(t *testing.T) {
				dir := machine(t)
				damage(t, filepath.Join(dir, file))
				n := open(t, dir, node.Options{})
				if got := running(t, dir); got != "r2" {
					t.Errorf("runs %q", got)
				}
				if st := n.State(); st.Current == 0 || st.Before != 1 {
					t.Errorf("the other copy was not used: %+v", st)
				}
				if err := node.CheckCopy(filepath.Join(dir, file)); err != nil {
					t.Errorf("it was not mended: %v", err)
				}
			})
		}
	}
}

func TestBothCopiesDamagedIsTheLastGood(t *testing.T) {
	for name, damage := range damages {
		for _, trial := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s trial %v", name, trial), func(t *testing.T) {
				dir := machine(t)
				if trial {
					n := open(t, dir, node.Options{})
					must(t, n.Begin(stage(t, n, "r3"), 0, "install"))
					must(t, n.Close())
					if got := running(t, dir); got != "r3" {
						t.Fatalf("runs %q", got)
					}
				}
				damage(t, filepath.Join(dir, "state.a"))
				damage(t, filepath.Join(dir, "state.b"))
				n := open(t, dir, node.Options{})
				if st := n.State(); running(t, dir) != "r2" || st.Good != 2 || st.Intent != nil {
					t.Errorf("runs %q, state %+v", running(t, dir), st)
				}
				if p := n.Damage(); len(p) != 1 || !strings.Contains(p[0], "generation 2, the last good one") {
					t.Errorf("problems: %q", p)
				}
				if got := install(t, n, "r4"); got < 3 {
					t.Errorf("generation number %d was used before", got)
				}
			})
		}
	}
}

func TestLostStateAndLostGood(t *testing.T) {
	dir := machine(t)
	for _, name := range []string{"state.a", "state.b", "good"} {
		must(t, os.Remove(filepath.Join(dir, name)))
	}
	n := open(t, dir, node.Options{})
	if i := n.State().Intent; i == nil || i.Generation != 2 || i.Tries != node.Tries {
		t.Errorf("the current generation is not tried as a new one: %+v", n.State())
	}
}

func TestDamagedDocument(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			dir := machine(t)
			damage(t, filepath.Join(dir, "gen", "2", "generation.json"))
			n := open(t, dir, node.Options{})
			if got := running(t, dir); got != "r2" {
				t.Errorf("runs %q, want r2 from the copy", got)
			}
			if p := n.Damage(); len(p) != 1 || !strings.Contains(p[0], "mended") {
				t.Errorf("problems: %q", p)
			}
			must(t, n.Close())
			damage(t, filepath.Join(dir, "gen", "2", "generation.copy.json"))
			damage(t, filepath.Join(dir, "gen", "2", "generation.json"))
			n = open(t, dir, node.Options{})
			if st := n.State(); running(t, dir) != "r1" || st.Current != 1 || st.Good != 1 {
				t.Errorf("both documents lost: runs %q, %+v", running(t, dir), st)
			}
			g := generation("r2")
			if _, refused := ptr(n.State()).Refused(g.Content()); refused {
				t.Error("a damaged disk made the release a refused one")
			}
			if got := install(t, n, "r2"); got != 3 || running(t, dir) != "r2" {
				t.Errorf("installing again: generation %d runs %q", got, running(t, dir))
			}
		})
	}
}

func TestDamagedProgram(t *testing.T) {
	dir := machine(t)
	must(t, os.Truncate(filepath.Join(dir, "gen", "2", "bin", "wallet", "node"), 0))
	n := open(t, dir, node.Options{})
	if got := running(t, dir); got != "r1" {
		t.Errorf("runs %q, want r1", got)
	}
	if p := n.Damage(); len(p) != 1 || !strings.Contains(p[0], "install the same volume again") {
		t.Errorf("problems: %q", p)
	}
}

func TestDamagedLinks(t *testing.T) {
	for _, name := range []string{"current", "good"} {
		dir := machine(t)
		must(t, os.Remove(filepath.Join(dir, name)))
		open(t, dir, node.Options{})
		if got := running(t, dir); got != "r2" {
			t.Errorf("without %s: runs %q", name, got)
		}
		if got := node.LinkNumber(filepath.Join(dir, name)); got != 2 {
			t.Errorf("%s leads to %d", name, got)
		}
	}
}

func TestEverythingLost(t *testing.T) {
	dir := machine(t)
	for _, name := range []string{"state.a", "state.b", "gen/1/generation.json", "gen/1/generation.copy.json", "gen/2/generation.json", "gen/2/generation.copy.json"} {
		must(t, os.Truncate(filepath.Join(dir, name), 3))
	}
	n := open(t, dir, node.Options{})
	if p := n.Damage(); len(p) != 1 || !strings.Contains(p[0], "install a volume again") {
		t.Errorf("problems: %q", p)
	}
	if got := install(t, n, "r4"); got != 3 || running(t, dir) != "r4" {
		t.Errorf("generation %d runs %q", got, running(t, dir))
	}
}

func TestPeek(t *testing.T) {
	if _, _, err := node.Peek(t.TempDir()); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("peek at nothing: %v", err)
	}
	dir := machine(t)
	open(t, dir, node.Options{}) // it runs
	st, g, err := node.Peek(dir)
	if err != nil || st.Current != 2 || g.Number != 2 {
		t.Errorf("peek: %+v, %v", st, err)
	}
}

func ptr[T any](v T) *T { return &v }
