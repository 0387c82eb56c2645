package sysinfo

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/platform"
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
	h, err := Read(root)
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

func TestReleases(t *testing.T) {
	for text, want := range map[string]release{
		"ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n":          {"debian", "12", "bookworm"},
		"ID=debian\nVERSION_ID='7.0'\nVERSION='7.0 (wheezy)'\n":              {"debian", "7", "wheezy"},
		"ID=raspbian\nVERSION_ID=\"11\"\nVERSION_CODENAME=bullseye\n":        {"debian", "11", "bullseye"},
		"ID=debian\nVERSION_CODENAME=trixie\n":                               {"debian", "trixie", "trixie"},
		"# x\nID=Ubuntu\nVERSION_ID=\"22.04\"\nUBUNTU_CODENAME=jammy\n":      {"ubuntu", "22.04", "jammy"},
		"ID=alpine\nVERSION_ID=3.19.1\n":                                     {"alpine", "3.19.1", ""},
		"ID=arch\nBUILD_ID=rolling\n":                                        {"arch", "rolling", ""},
		"ID=\"a\\\"b\"\r\nVERSION_ID=\"1\"\nVERSION=\"1 (2)\"\nnothing\n=\n": {`a"b`, "1", ""},
		"": {},
	} {
		if got := parseRelease(text); got != want {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
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

func FuzzRelease(f *testing.F) {
	f.Add("ID=debian\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\n")
	f.Add("ID='\nVERSION_ID=\"\\\"")
	f.Fuzz(func(t *testing.T, text string) {
		r := parseRelease(text)
		if strings.ContainsAny(r.id+r.version+r.codename, "\n") {
			t.Errorf("a line end in %+v", r)
		}
	})
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
