package sysinfo

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/platform"
)

func TestMultiarch(t *testing.T) {
	for want, test := range map[string]struct {
		host   platform.Host
		loader string
	}{
		"arm-linux-gnueabihf":           {platform.Host{OS: "debian", Arch: "arm", CPU: "armv7", Libc: "glibc"}, "/lib/ld-linux-armhf.so.3"},
		"arm-linux-gnueabi":             {platform.Host{OS: "debian", Arch: "arm", CPU: "armv5", Libc: "glibc"}, "/lib/ld-linux.so.3"},
		"aarch64-linux-gnu":             {platform.Host{OS: "ubuntu", Arch: "arm64", Libc: "glibc"}, "/lib/ld-linux-aarch64.so.1"},
		"armv7-alpine-linux-musleabihf": {platform.Host{OS: "alpine", Arch: "arm", CPU: "armv7", Libc: "musl"}, "/lib/ld-musl-armhf.so.1"},
		"x86_64-redhat-linux":           {platform.Host{OS: "fedora", Arch: "amd64", Libc: "glibc"}, "/lib64/ld-linux-x86-64.so.2"},
		"x86_64-pc-linux-gnu":           {platform.Host{OS: "arch", Arch: "amd64", Libc: "glibc"}, "/lib64/ld-linux-x86-64.so.2"},
		"":                              {platform.Host{OS: "debian", Arch: "amd64"}, ""},
	} {
		if got := multiarch(test.host, test.loader); got != want {
			t.Errorf("%+v: got %q, want %q", test.host, got, want)
		}
	}
}

// A banner that lies across two reads is found; one without its end is not.
func TestSearch(t *testing.T) {
	const text = "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36."
	for _, before := range []int{0, 100, 256<<10 - 30, 256<<10 - 1, 300 << 10, 511 << 10} {
		got, err := search(strings.NewReader(strings.Repeat("x", before)+text), banner)
		if got != "2.36" || err != nil {
			t.Errorf("after %d bytes: %q, %v", before, got, err)
		}
	}
	if got, err := search(strings.NewReader(strings.Repeat("release version 2.36", 20_000)), banner); got != "" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzLibc(f *testing.F) {
	f.Add([]byte("\x7fELF musl libc (x86_64)\nVersion %s\x001.2.3\x00"))
	f.Add([]byte("GNU C Library (x) stable release version 2.36.\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "libc")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, read := range []func() (string, error){
			func() (string, error) { return muslVersion(file) },
			func() (string, error) { return glibcVersion(file, elf.EM_X86_64) },
		} {
			if v, err := read(); err != nil || len(v) > 20 || strings.Trim(v, "0123456789.") != "" {
				t.Errorf("version %q, %v", v, err)
			}
		}
		elfInterpreter(file)
	})
}
