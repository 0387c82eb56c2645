package sysinfo

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path"
	"regexp"
	"strings"

	"overland/internal/fsx"
)

const (
	libcLimit   = 64 << 20 // bytes of libc's file that are looked at
	loaderLimit = 4096     // bytes of a path of a loader
)

// libc is the C library that a machine's own programs are linked with.
type libc struct {
	kind, version string
	loader        string // "/lib64/ld-linux-x86-64.so.2"
}

// loaders are the dynamic loaders of an architecture, where the ABI says that they are. glibc's
// come first: a machine whose shell is linked with neither has glibc when it is there.
var loaders = map[string][]string{
	"amd64": {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"},
	"arm64": {"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"},
	"arm": {
		"/lib/ld-linux-armhf.so.3", "/lib/ld-linux.so.3", "/lib/ld-musl-armhf.so.1", "/lib/ld-musl-arm.so.1",
	},
}

// folders are where libc.so.6 is.
var folders = []string{
	"/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib/arm-linux-gnueabihf", "/lib/arm-linux-gnueabi",
	"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/arm-linux-gnueabihf", "/usr/lib/arm-linux-gnueabi",
	"/lib64", "/usr/lib64", "/lib", "/usr/lib",
}

// findLibc finds the libc of the file system at root for programs of arch.
func findLibc(root, arch string) (libc, error) {
	candidates := loaders[arch]
	// What the shell is linked with is the system's; a second libc may be installed beside it.
	if own := interpreter(root, "/bin/sh"); own != "" {
		candidates = append([]string{own}, candidates...)
	}
	for _, loader := range candidates {
		f, err := open(root, loader)
		if err != nil {
			return libc{}, err
		}
		if f == nil {
			continue
		}
		l := libc{loader: loader}
		if strings.HasPrefix(path.Base(loader), "ld-musl-") {
			l.kind = "musl"
			l.version, err = muslVersion(f)
			f.Close()
			return l, err
		}
		f.Close()
		l.kind = "glibc"
		l.version, err = findGlibc(root, arch)
		return l, err
	}
	return libc{}, nil
}

// interpreter returns the loader that the program at path asks for; ""
// for a static program, or none.
func interpreter(root, name string) string {
	f, err := open(root, name)
	if f == nil || err != nil {
		return ""
	}
	defer f.Close()
	return elfInterpreter(f)
}

func elfInterpreter(r io.ReaderAt) string {
	e, err := elf.NewFile(r)
	if err != nil {
		return ""
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := fsx.Read(p.Open(), "loader", loaderLimit)
			if err != nil {
				return ""
			}
			return string(bytes.TrimRight(b, "\x00"))
		}
	}
	return ""
}

func findGlibc(root, arch string) (string, error) {
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM}[arch]
	for _, folder := range folders {
		f, err := open(root, folder+"/libc.so.6")
		if err != nil {
			return "", err
		}
		if f == nil {
			continue
		}
		v, err := glibcVersion(f, machine)
		f.Close()
		if v != "" || err != nil {
			return v, err
		}
	}
	return "", nil
}

// banner is what every glibc holds and prints when it is run.
var banner = regexp.MustCompile(`GNU C Library [^\x00\n]{0,200}release version ([0-9]{1,4}\.[0-9]{1,4}(?:\.[0-9]{1,4})?)`)

// glibcVersion returns the version of the libc.so.6 in f, "" when it
// is none or for another machine.
func glibcVersion(f *os.File, machine elf.Machine) (string, error) {
	if e, err := elf.NewFile(f); err != nil || e.Machine != machine {
		return "", nil //nolint:nilerr // a linker script, or the libc of another architecture
	}
	return search(io.NewSectionReader(f, 0, libcLimit), banner)
}

// muslBanner is what musl's loader prints when it is run; its version is a string of its own.
var (
	muslBanner   = regexp.MustCompile(`musl libc \(`)
	muslNumbered = regexp.MustCompile(`\x00([01]\.[0-9]{1,3}\.[0-9]{1,3})\x00`)
)

// muslVersion returns the version of the musl in f, "" when it is none.
func muslVersion(f *os.File) (string, error) {
	if found, err := search(io.NewSectionReader(f, 0, libcLimit), muslBanner); found == "" || err != nil {
		return "", err
	}
	return search(io.NewSectionReader(f, 0, libcLimit), muslNumbered)
}

// search returns the first group of the first match of re, or the whole match, in r.
// Matches are shorter than 1 KiB.
func search(r io.Reader, re *regexp.Regexp) (string, error) {
	const window, overlap = 256 << 10, 1 << 10
	buf := make([]byte, 0, window)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if m := re.FindSubmatch(buf); m != nil {
			return string(m[len(m)-1]), nil
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return "", nil
		case err != nil:
			return "", err
		}
		copy(buf, buf[len(buf)-overlap:])
		buf = buf[:overlap]
	}
}
