package cell_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"overland/internal/confine/cell"
)

// write makes files with their folders, as programs unless their mode is another.
func write(t *testing.T, mode os.FileMode, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("#!/bin/sh"), mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// Of a folder of PATH below a home a command sees programs, and none of a folder that is not named in full.
func TestS4WhatOfThePathIsShown(t *testing.T) {
	home, work := t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Chdir(work)
	write(t, 0o755, home+"/scripts/tool", work+"/here/bin/tool", work+"/target")
	write(t, 0o600, home+"/scripts/token")
	if err := os.Symlink(work+"/target", home+"/scripts/link"); err != nil {
		t.Fatal(err)
	}
	at := mounts(t, cell.Options{Environ: []string{"PATH=" + home + "/scripts:here/bin"}})
	for _, path := range []string{home + "/scripts/tool", home + "/scripts/link", work + "/target"} {
		if _, ok := at[path]; !ok {
			t.Errorf("%s is not shown", path)
		}
	}
	for _, path := range []string{home + "/scripts/token", work + "/here/bin", "here/bin", "/here/bin"} {
		if m, ok := at[path]; ok {
			t.Errorf("%s is shown: %+v", path, m)
		}
	}
	for dir, want := range map[string]bool{"/root/x": true, "/home/ann/bin": true, "/me/bin": true, "/opt/bin": false, "/homes/x": false} {
		if cell.InHome("/me", dir) != want {
			t.Errorf("%s is in somebody's home: %v", dir, !want)
		}
	}
	if cell.InHome("", "/opt/bin") {
		t.Error("all is in the home of somebody without one")
	}
}

// A command that is named by its place in the working folder is shown, and so is what a link there leads to.
func TestAProgramOfTheWorkingFolder(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	t.Setenv("HOME", t.TempDir())
	write(t, 0o755, dir+"/tool", other+"/target")
	if err := os.Symlink(other+"/target", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"./tool": dir + "/tool", "./link": other + "/target"} {
		s, err := cell.Spec(cell.Options{Command: []string{name}, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var shown []string
		for _, m := range s.Mounts {
			shown = append(shown, m.Target)
		}
		if !slices.Contains(shown, want) {
			t.Errorf("%s: %s is not shown: %v", name, want, shown)
		}
	}
}

// A version manager's programs find their own where they are; a folder that is not named in full is not one.
func TestAVersionManager(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", t.TempDir())
	t.Chdir(dir)
	write(t, 0o755, dir+"/cargo/bin/rustup", dir+"/rust/toolchains/x")
	path := "PATH=" + dir + "/cargo/bin:" + dir + "/cargo/bin/"
	for root, want := range map[string]bool{dir + "/rust": true, "rust": false} {
		t.Setenv("RUSTUP_HOME", root)
		s, err := cell.Spec(cell.Options{Command: []string{"true"}, Environ: []string{path}})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(s.Env, "RUSTUP_HOME="+root) != want {
			t.Errorf("%s: %v", root, s.Env)
		}
		if _, ok := mounts(t, cell.Options{Environ: []string{path}})[root+"/toolchains"]; ok != want {
			t.Errorf("%s: its tool chains are shown: %v", root, ok)
		}
	}
}

// The machine's programs are shown once, by the system: shown again, what is hidden there might be seen.
func TestTheSystemsProgramsAreShownOnce(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	without := mounts(t, cell.Options{})
	for path, m := range mounts(t, cell.Options{Environ: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}}) {
		if _, ok := without[path]; !ok && strings.HasPrefix(path, "/usr/") {
			t.Errorf("%s is shown again: %+v", path, m)
		}
	}
}
