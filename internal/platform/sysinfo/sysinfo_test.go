package sysinfo_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/platform"
	"overland/internal/platform/sysinfo"
)

// root returns a file system with the files given.
func root(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func read(t testing.TB, root string) platform.Host {
	t.Helper()
	h, err := sysinfo.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

// What is read without a compiler is what the compiler and libc say of themselves.
func TestThisMachine(t *testing.T) {
	h := read(t, "")
	if libc := output(t, "getconf", "GNU_LIBC_VERSION"); libc != h.Libc+" "+h.LibcVersion {
		t.Errorf("libc %q, got %s %s", libc, h.Libc, h.LibcVersion)
	}
	if triple := output(t, "gcc", "-dumpmachine"); triple != h.Multiarch {
		t.Errorf("gcc says %q, got %q", triple, h.Multiarch)
	}
	if said := output(t, "sh", "-c", ". /etc/os-release; echo $ID ${VERSION_ID%%.*} $VERSION_CODENAME"); said != h.OS+" "+h.Release+" "+h.Codename {
		t.Errorf("os-release says %q, got %+v", said, h)
	}
	if !h.Runs(h) {
		t.Errorf("%s does not run its own: %s", h, h.Refuses(h))
	}
}

// A root without libc, or with one that cannot be read, is of no kind that something runs on.
func TestUnknownRoots(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"nothing":        {},
		"no libc":        {"etc/os-release": "ID=debian\nVERSION_ID=12\n"},
		"a loader alone": {"etc/os-release": "ID=debian\nVERSION_ID=12\n", "lib64/ld-linux-x86-64.so.2": "x"},
		"a false libc": {
			"etc/os-release": "ID=debian\nVERSION_ID=12\n", "lib64/ld-linux-x86-64.so.2": "x",
			"lib64/libc.so.6": "GNU C Library (x) stable release version 2.99.",
		},
	} {
		h := read(t, root(t, files))
		if h.LibcVersion != "" || h.Runs(h) {
			t.Errorf("%s: %s runs something", name, h)
		}
	}
}

// What the system's shell is linked with decides: another libc beside it does not.
func TestMuslBesideGlibc(t *testing.T) {
	const path = "/lib/ld-musl-x86_64.so.1"
	musl, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: apt-get install musl", err)
	}
	want := ""
	for line := range strings.Lines(output(t, "dpkg-query", "-W", "-f", "${Version}\n", "musl")) {
		want, _, _ = strings.Cut(line, "-")
	}
	h := read(t, root(t, map[string]string{"etc/os-release": "ID=alpine\nVERSION_ID=3.19.1\n", path: string(musl)}))
	if h.Libc != "musl" || h.LibcVersion != want || h.Multiarch != "x86_64-alpine-linux-musl" {
		t.Errorf("got %+v, dpkg says %s", h, want)
	}
	if here := read(t, ""); here.Libc != "glibc" {
		t.Errorf("this machine became %s", here)
	}
}
