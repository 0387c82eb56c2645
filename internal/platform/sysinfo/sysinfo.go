package sysinfo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"overland/internal/fsx"
	"overland/internal/platform"
)

// Read returns the kind of the machine whose file system is at root ("" = this one); CPU and
// architecture are always this one's. What cannot be found out is empty, and nothing compiled
// elsewhere runs on such a machine. The error is for files that are there and cannot be read.
func Read(root string) (platform.Host, error) {
	h := platform.Host{Arch: runtime.GOARCH, CPU: cpuLevel()}
	release, err := osRelease(root)
	if err != nil {
		return h, fmt.Errorf("what kind of machine this is: %w", err)
	}
	h.OS, h.Release, h.Codename = release.id, release.version, release.codename
	l, err := findLibc(root, h.Arch)
	if err != nil {
		return h, fmt.Errorf("what kind of machine this is: %w", err)
	}
	h.Libc, h.LibcVersion = l.kind, l.version
	h.Multiarch = multiarch(h, l.loader)
	return h, nil
}

// multiarch returns what gcc -dumpmachine says on such a machine: Debian's spelling, but for
// systems known to have their own.
func multiarch(h platform.Host, loader string) string {
	cpu := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "arm": "arm"}[h.Arch]
	if cpu == "" || h.Libc == "" {
		return ""
	}
	abi := map[string]string{"glibc": "gnu", "musl": "musl"}[h.Libc]
	if h.Arch == "arm" {
		abi += "eabi"
		if hard := filepath.Base(loader); hard == "ld-linux-armhf.so.3" || hard == "ld-musl-armhf.so.1" {
			abi += "hf"
		}
	}
	switch h.OS {
	case "alpine":
		if h.Arch == "arm" {
			cpu = h.CPU
		}
		return cpu + "-alpine-linux-" + abi
	case "arch", "archarm":
		return cpu + "-pc-linux-" + abi
	case "fedora", "rhel", "centos", "rocky", "almalinux":
		return cpu + "-redhat-linux"
	case "opensuse", "opensuse-leap", "sles":
		return cpu + "-suse-linux"
	}
	return cpu + "-linux-" + abi
}

// open opens the file at path of the file system at root; nil when there is none.
func open(root, path string) (*os.File, error) {
	f, err := os.Open(filepath.Join("/", root, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a missing file is an answer here
	}
	return f, err
}

// head returns the first limit bytes of the file at path; nil when there is none.
func head(root, path string, limit int64) ([]byte, error) {
	f, err := open(root, path)
	if f == nil || err != nil {
		return nil, err
	}
	defer f.Close()
	return fsx.Head(f, limit)
}
