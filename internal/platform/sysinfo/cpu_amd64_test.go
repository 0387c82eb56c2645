package sysinfo_test

import (
	"strings"
	"testing"
)

// The loader that this machine's own libc brings says which levels it would load libraries for.
func TestTheCPULevelIsTheLoaders(t *testing.T) {
	got, want := read(t, "").CPU, "x86-64-v1"
	for line := range strings.Lines(output(t, "/lib64/ld-linux-x86-64.so.2", "--help")) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[0], "x86-64-v") && f[1] == "(supported," {
			want = max(want, f[0])
		}
	}
	if got != want {
		t.Errorf("got %s, the loader says %s", got, want)
	}
}
