package confine_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
)

// Each mount that a command sees takes away what it can, whatever else keeps it away: with what is
// mounted below it, as /dev/shm is below /dev.
func TestTheOptionsOfMounts(t *testing.T) {
	var above, below unix.Stat_t
	if err := unix.Stat("/dev", &above); err != nil {
		t.Fatal(err)
	}
	if err := unix.Stat("/dev/shm", &below); err != nil || above.Dev == below.Dev {
		t.Fatalf("nothing is mounted on /dev/shm: %v", err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s := spec(t, "mounts")
	s.Mounts = append(s.Mounts,
		confine.Mount{Kind: confine.Bind, Source: "/dev", Target: "/machine"},
		confine.Mount{Kind: confine.Bind, Source: dir, Target: "/mine", Writable: true},
		confine.Mount{Kind: confine.Temp, Target: "/memory", Size: 1 << 20})
	out, exit, err := run(t, s)
	if exit.Code != 0 || err != nil {
		t.Fatalf("%q, %+v, %v", out, exit, err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		const point, options = 4, 5
		at, has := f[point], strings.Split(f[options], ",")
		seen[at] = true
		want := []string{"nosuid", "nodev"}
		switch {
		case at == "/usr" || at == "/" || at == "/attempt" || at == "/machine" || strings.HasPrefix(at, "/machine/"):
			want = append(want, "ro")
		case at == "/memory" || at == "/run" || at == "/dev/shm":
			want = append(want, "noexec")
		case at == "/proc" || at == "/dev/pts":
			want = []string{"nosuid", "noexec"}
		case at == "/mine" || at == "/tmp" || at == "/dev":
		case strings.HasPrefix(at, "/proc/"), strings.HasPrefix(at, "/dev/"):
			continue // closed, or a device without hardware
		}
		for _, o := range want {
			if !slices.Contains(has, o) {
				t.Errorf("%s is not %s: %s", at, o, f[options])
			}
		}
	}
	for _, at := range []string{"/", "/usr", "/machine", "/machine/shm", "/mine", "/memory", "/tmp", "/proc", "/dev"} {
		if !seen[at] {
			t.Errorf("%s is not mounted:\n%s", at, out)
		}
	}
	name := fmt.Sprintf("overland-%d", os.Getpid())
	s = spec(t, "write", filepath.Join("/machine/shm", name))
	s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Bind, Source: "/dev", Target: "/machine"})
	if _, exit, _ := run(t, s); exit.Code == 0 {
		t.Error("what is mounted below a folder that is read-only was written")
		_ = os.Remove(filepath.Join("/dev/shm", name))
	}
}
