package home_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"

	"overland/internal/errs"
	"overland/internal/home"
)

func TestScratchIsForOne(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	p, err := home.TakeScratch("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := home.TakeScratch("x"); errs.KindOf(err) != errs.Conflict {
		t.Errorf("taken twice: %v", err)
	}
	if err := p.Leave(); err != nil {
		t.Fatal(err)
	}
	if p, err = home.TakeScratch("x"); err != nil {
		t.Fatal(err)
	}
	if err := p.Leave(); err != nil {
		t.Fatal(err)
	}
}

// A folder that others may write to, and a link, are somebody else's doing: a name that anybody can
// guess, and make in /tmp, keeps nobody from having a folder.
func TestAnotherUsersFolderIsInNobodysWay(t *testing.T) {
	tmp, cache := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("XDG_CACHE_HOME", cache)
	others := func(below string) {
		t.Helper()
		open := filepath.Join(below, "open")
		if err := errors.Join(os.MkdirAll(open, 0o755), os.Chmod(open, 0o777), os.Symlink(t.TempDir(), filepath.Join(below, "link"))); err != nil {
			t.Fatal(err)
		}
	}
	others(tmp)
	for _, name := range []string{"open", "link"} {
		s, err := home.TakeScratch(name)
		if err != nil || s.Dir() != filepath.Join(cache, "overland", name) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.Leave(); err != nil {
			t.Error(err)
		}
	}
	others(filepath.Join(cache, "overland"))
	for _, name := range []string{"open", "link"} {
		if _, err := home.TakeScratch(name); errs.KindOf(err) != errs.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One run leaves while others come: each has the folder to itself, and whole.
func TestScratchChangesHands(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	const runs, turns = 4, 50
	var all sync.WaitGroup
	for range runs {
		all.Go(func() {
			for n := 0; n < turns; {
				p, err := home.TakeScratch("x")
				if errs.KindOf(err) == errs.Conflict {
					runtime.Gosched()
					continue
				}
				if err == nil {
					err = errors.Join(os.MkdirAll(filepath.Join(p.Dir(), "source", "a"), 0o700), os.Remove(filepath.Join(p.Dir(), "source", "a")),
						os.Remove(filepath.Join(p.Dir(), "source")), os.Mkdir(filepath.Join(p.Dir(), "home"), 0o700), p.Leave())
				}
				if err != nil {
					t.Error(err)
					return
				}
				n++
			}
		})
	}
	all.Wait()
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What a killed run left is gone, and a command in the folder finds nothing of this machine's.
func TestScratchIsEmpty(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	left := filepath.Join(tmp, "x", "src", "left")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(tmp, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := home.TakeScratch("x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("something was left from before")
	}
	env := p.Environ([]string{"A=b", "TMPDIR=/elsewhere", "OVERLAND_PASSPHRASE=secret", "OVERLAND_HOME=/mine"})
	for _, want := range []string{"A=b", "TMPDIR=" + filepath.Join(p.Dir(), "tmp"), "OVERLAND_HOME=" + filepath.Join(p.Dir(), "home")} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	for _, not := range []string{"TMPDIR=/elsewhere", "OVERLAND_PASSPHRASE=secret", "OVERLAND_HOME=/mine"} {
		if slices.Contains(env, not) {
			t.Errorf("%s stays", not)
		}
	}
	if err := p.Leave(); err != nil {
		t.Error(err)
	}
}
