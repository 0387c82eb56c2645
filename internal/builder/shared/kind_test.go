package shared

import (
	"strings"
	"testing"

	"overland/internal/netcache"
	"overland/internal/platform"
)

func FuzzKind(f *testing.F) {
	f.Add(`{"sha512": "` + strings.Repeat("0", 128) + `", "os": ["debian", "12", "bookworm"], "libc": "glibc", "libc_min": "2.36", "march": "x86-64-v1", "arch": "amd64", "multiarch": "x86_64-linux-gnu"}`)
	f.Add(`{"sha512": "` + strings.Repeat("0", 128) + `", "os": "('debian', '7.0', '')", "machine": "x86_64"}`)
	here := platform.Host{
		OS: "debian", Release: "12", Codename: "bookworm", Arch: "amd64", CPU: "x86-64-v3", Libc: "glibc", LibcVersion: "2.36",
		Multiarch: "x86_64-linux-gnu",
	}
	f.Fuzz(func(t *testing.T, metadata string) {
		e, err := netcache.NewEntry(metadata, "")
		if err != nil {
			return
		}
		h := kindOf(e)
		if refuses(here, e, false) == "" && (h.OS != "debian" || h.Release != "12" || h.Libc != "glibc" || h.Arch != "amd64") {
			t.Errorf("%+v runs on debian 12: %s", h, metadata)
		}
		_ = h.String()
		if number(e, "entries") < 0 {
			t.Error("a negative number")
		}
	})
}
