package confine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// Without namespaces no first process takes the others with it when it ends: their group is killed.
func TestABareCommandEndsWithItsChildren(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := confine.Start(ctx, confine.Spec{
		Path: "/bin/sh", Args: []string{"sh", "-c", "sleep 1000 & ulimit -Sn; wait"}, Stdout: theirs,
		User: confine.User{ID: os.Geteuid(), Group: os.Getegid(), Share: true}, Privileged: true, Filter: confine.FilterOff, Bare: true,
	})
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	const files = "1024\n" // not as many as the program that starts it
	b := make([]byte, len(files))
	if _, err := io.ReadFull(out, b); err != nil || string(b) != files {
		t.Errorf("it may open %q files, %v", b, err)
	}
	cancel()
	if _, err := p.Wait(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := out.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(out); err != nil { // its child has the other end
		t.Errorf("a child is still there: %v", err)
	}
}
