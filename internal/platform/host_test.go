package platform_test

import (
	"testing"

	"overland/internal/platform"
)

func TestWhatRunsWhere(t *testing.T) {
	here := platform.Host{
		OS: "debian", Release: "12", Arch: "amd64", CPU: "x86-64-v3", Libc: "glibc", LibcVersion: "2.36",
		Multiarch: "x86_64-linux-gnu",
	}
	for name, test := range map[string]struct {
		change func(*platform.Host)
		runs   bool
	}{
		"the same kind":           {func(*platform.Host) {}, true},
		"older libc there":        {func(h *platform.Host) { h.LibcVersion = "2.9" }, true},
		"newer libc there":        {func(h *platform.Host) { h.LibcVersion = "2.100" }, false},
		"libc's third number":     {func(h *platform.Host) { h.LibcVersion = "2.36.1" }, false},
		"unknown libc":            {func(h *platform.Host) { h.LibcVersion = "" }, false},
		"older CPU there":         {func(h *platform.Host) { h.CPU = "x86-64-v1" }, true},
		"newer CPU there":         {func(h *platform.Host) { h.CPU = "x86-64-v4" }, false},
		"unknown CPU":             {func(h *platform.Host) { h.CPU = "" }, false},
		"another release":         {func(h *platform.Host) { h.Release = "13" }, false},
		"no release":              {func(h *platform.Host) { h.Release = "" }, false},
		"another system":          {func(h *platform.Host) { h.OS = "ubuntu" }, false},
		"another architecture":    {func(h *platform.Host) { h.Arch = "arm64"; h.CPU = "armv8" }, false},
		"musl":                    {func(h *platform.Host) { h.Libc = "musl" }, false},
		"another ABI":             {func(h *platform.Host) { h.Multiarch = "x86_64-linux-gnux32" }, false},
		"ABI is not said":         {func(h *platform.Host) { h.Multiarch = "" }, true},
		"codename does not count": {func(h *platform.Host) { h.Codename = "bookworm" }, true},
		"nothing said":            {func(h *platform.Host) { *h = platform.Host{} }, false},
	} {
		built := here
		test.change(&built)
		if got := here.Runs(built); got != test.runs {
			t.Errorf("%s: %v, %q", name, got, here.Refuses(built))
		}
		if (platform.Host{}).Runs(built) {
			t.Errorf("%s: runs on an unknown machine", name)
		}
	}
	slow, old := here, here
	slow.CPU, old.LibcVersion = "x86-64-v2", "2.31"
	if here.Better(slow, old) || !here.Better(old, slow) || here.Better(old, here) || !here.Better(here, old) {
		t.Error("the nearest kind is not found")
	}
	if got := (platform.Host{OS: "debian"}).String(); got != "debian ?, ? (?), ? ?" {
		t.Errorf("got %q", got)
	}
}
