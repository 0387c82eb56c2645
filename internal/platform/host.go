package platform

import (
	"fmt"
	"strconv"
	"strings"
)

// Host is the kind of a machine, as far as it decides whether a program that was compiled on one
// runs on another. The zero value is an unknown kind: nothing of it runs anywhere.
// internal/platform/sysinfo reads this machine's.
type Host struct {
	OS          string `json:"os"`                  // ID of os-release, lower case; raspbian is debian
	Release     string `json:"release"`             // VERSION_ID; of Debian only the major number
	Codename    string `json:"codename,omitempty"`  // "bookworm", "jammy"; old network cache clients compare it
	Arch        string `json:"arch"`                // as Go calls it: amd64, arm, arm64
	CPU         string `json:"cpu"`                 // x86-64-v1 … x86-64-v4, armv5 … armv7, armv8
	Libc        string `json:"libc"`                // glibc or musl
	LibcVersion string `json:"libcVersion"`         // "2.36"
	Multiarch   string `json:"multiarch,omitempty"` // what gcc -dumpmachine says there: "x86_64-linux-gnu"
}

// Runs reports whether h runs what a machine of the kind built compiled.
func (h Host) Runs(built Host) bool { return h.Refuses(built) == "" }

// Refuses returns why h does not run what a machine of the kind built compiled, "" when
// it does: the system and its release, the architecture and the kind of libc are the
// same, libc and CPU are not older.
func (h Host) Refuses(built Host) string {
	for _, one := range []struct{ what, want, have string }{
		{"system", built.OS, h.OS},
		{"release", built.Release, h.Release},
		{"architecture", built.Arch, h.Arch},
		{"libc", built.Libc, h.Libc},
	} {
		switch {
		case one.want == "":
			return "it does not say for which " + one.what + " it is"
		case one.have == "":
			return "this machine does not say what its " + one.what + " is"
		case one.want != one.have:
			return fmt.Sprintf("it is for %s %s, this is %s", one.what, one.want, one.have)
		}
	}
	// Debian has two kinds of 32-bit ARM under one name: they cannot load each other's libraries.
	if built.Multiarch != "" && h.Multiarch != "" && built.Multiarch != h.Multiarch {
		return fmt.Sprintf("it is for %s, this is %s", built.Multiarch, h.Multiarch)
	}
	want, have := version(built.LibcVersion), version(h.LibcVersion)
	if want == nil || have == nil || less(have, want) {
		return fmt.Sprintf("it needs %s %s, this is %q", built.Libc, built.LibcVersion, h.LibcVersion)
	}
	if want, have := level(built.CPU), level(h.CPU); want == 0 || have < want {
		return fmt.Sprintf("it needs a CPU of the level %s, this is %q", built.CPU, h.CPU)
	}
	return ""
}

// Better reports whether of two kinds that h runs, a is nearer to h than b: the higher
// CPU level, then the newer libc.
func (h Host) Better(a, b Host) bool {
	if x, y := level(a.CPU), level(b.CPU); x != y {
		return x > y
	}
	return less(version(b.LibcVersion), version(a.LibcVersion))
}

// String returns h for people: "debian 12, amd64 (x86-64-v3), glibc 2.36".
func (h Host) String() string {
	if h == (Host{}) {
		return "any machine"
	}
	or := func(s string) string {
		if s == "" {
			return "?"
		}
		return s
	}
	return fmt.Sprintf("%s %s, %s (%s), %s %s", or(h.OS), or(h.Release), or(h.Arch), or(h.CPU), or(h.Libc), or(h.LibcVersion))
}

// level returns the number at the end of a CPU's name, 0 for none: those of
// one architecture are in order.
func level(cpu string) int {
	n, err := strconv.Atoi(cpu[strings.LastIndexByte(cpu, 'v')+1:])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// version returns the numbers of "2.36", nil for what is none.
func version(s string) (list []int) {
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return nil
		}
		list = append(list, n)
	}
	return list
}

func less(a, b []int) bool {
	for i := range max(len(a), len(b)) {
		x, y := 0, 0
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x < y
		}
	}
	return false
}
