package confine_test

import (
	"os"
	"testing"

	"overland/internal/confine"
)

// From the call to the end of a command that does nothing, with a private root, filter and limits.
func BenchmarkStart(b *testing.B) {
	mounts, err := confine.System()
	if err != nil {
		b.Fatal(err)
	}
	busybox := "/bin/busybox"
	if _, err := os.Stat(busybox); err != nil {
		b.Fatal(err)
	}
	s := confine.Spec{
		Path: busybox, Args: []string{"true"}, Mounts: mounts, User: confine.User{ID: 1000, Group: 1000, HostID: 61000, HostGroup: 61000},
		Limits: confine.Limits{Memory: 1 << 30, Processes: 100},
	}
	for b.Loop() {
		p, err := confine.Start(b.Context(), s)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Wait(); err != nil {
			b.Fatal(err)
		}
	}
}
