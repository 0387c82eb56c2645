package confine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
)

func init() {
	verbs["modes"] = func(args []string) {
		for _, path := range args {
			info, err := os.Lstat(path)
			if err != nil {
				fmt.Println(path, err)
				continue
			}
			to, _ := os.Readlink(path)
			fmt.Println(strings.TrimSpace(fmt.Sprintf("%s %v %s", path, info.Mode(), to)))
		}
	}
	verbs["devices"] = func([]string) {
		for _, name := range []string{"null", "zero", "full", "random", "urandom", "ptmx", "stdin", "extra"} {
			f, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
			if err != nil {
				fmt.Println(err)
				continue
			}
			f.Close()
		}
		_, err := os.Stat("/dev/fd/1")
		fmt.Println(err)
	}
	verbs["chroot"] = func([]string) { fmt.Println(unix.Chroot("/usr")) }
}

func TestTheModesOfWhatIsMade(t *testing.T) {
	want := []string{
		"/ drwxr-xr-x", "/tmp dtrwxrwxrwx", "/run drwxr-xr-x", "/dev drwxr-xr-x", "/dev/shm dtrwxrwxrwx", "/dev/pts drwxr-xr-x", "/var/tmp Lrwxrwxrwx /tmp", "/var/run Lrwxrwxrwx /run",
		"/etc/hosts -r--r--r--", "/etc/key -r--------", "/private drwx------", "/made drwxr-xr-x", "/dev/stdout Lrwxrwxrwx /proc/self/fd/1", "/dev/extra Dcrw-rw-rw-",
	}
	var paths []string
	for _, line := range want {
		path, _, _ := strings.Cut(line, " ")
		paths = append(paths, path)
	}
	s := spec(t, append([]string{"modes"}, paths...)...)
	s.Mounts = append(s.Mounts,
		confine.Mount{Kind: confine.File, Target: "/etc/hosts"}, confine.Mount{Kind: confine.File, Target: "/etc/key", Mode: 0o400},
		confine.Mount{Kind: confine.Temp, Target: "/private", Mode: 0o700}, confine.Mount{Kind: confine.File, Target: "/made/file"},
		confine.Mount{Kind: confine.Device, Source: "/dev/null", Target: "/dev/extra"})
	out, exit, err := run(t, s)
	if exit.Code != 0 || err != nil || out != strings.Join(want, "\n") {
		t.Errorf("%+v, %v\ngot\n%s\nwant\n%s", exit, err, out, strings.Join(want, "\n"))
	}
	s.Args[1] = "devices"
	if out, exit, err := run(t, s); exit.Code != 0 || err != nil || out != "<nil>" {
		t.Errorf("%q, %+v, %v", out, exit, err)
	}
	// A right that stays is one that the filter leaves too.
	s.Args[1], s.User, s.Caps = "chroot", confine.User{ID: 61000, Group: 61001, Share: true}, []string{"CAP_SYS_CHROOT"}
	if out, exit, err := run(t, s); exit.Code != 0 || err != nil || out != "<nil>" {
		t.Errorf("%q, %+v, %v", out, exit, err)
	}
}

// What runc closes of /proc is closed here, and what is in memory has an end.
func TestWhatIsClosedAndBounded(t *testing.T) {
	s := spec(t, "mounts")
	s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Temp, Target: "/memory", Size: 1 << 20})
	out, exit, err := run(t, s)
	if exit.Code != 0 || err != nil {
		t.Fatalf("%q, %+v, %v", out, exit, err)
	}
	at := map[string][]string{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		at[f[4]] = append(strings.Split(f[5], ","), strings.Split(f[len(f)-1], ",")...)
	}
	for _, name := range []string{
		"acpi", "asound", "bus", "fs", "interrupts", "irq", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "sys", "sysrq-trigger", "timer_list", "timer_stats",
	} {
		path := filepath.Join("/proc", name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // not of this kernel
		}
		if err != nil {
			t.Fatal(err)
		}
		written := slices.Contains([]string{"bus", "fs", "irq", "sys", "sysrq-trigger"}, name)
		if at[path] == nil || (info.IsDir() || written) && !slices.Contains(at[path], "ro") {
			t.Errorf("%s: %q", path, at[path])
		}
	}
	for path, size := range map[string]string{"/memory": "size=1024k", "/dev/shm": "size=262144k", "/dev": "size=64k", "/": "size=16384k"} {
		if !slices.Contains(at[path], size) {
			t.Errorf("%s has no %s: %q", path, size, at[path])
		}
	}
}

// Of the machine's folders System shows programs, and what they need to start.
func TestTheSystemHasNoSecrets(t *testing.T) {
	mounts, err := confine.System()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mounts {
		if m.Writable || m.Kind == confine.Device {
			t.Errorf("%+v", m)
		}
		if m.Kind != confine.Bind && m.Kind != confine.Optional {
			continue
		}
		for _, secret := range []string{
			"/etc/shadow", "/etc/passwd", "/etc/ssh", "/etc/ssl/private", "/etc/apt/auth.conf.d", "/etc/hosts", "/root", "/home", "/var/lib/overland", "/var/lib/docker",
			"/var/log", "/proc", "/sys", "/dev", "/run", "/tmp",
		} {
			if m.Source == secret || strings.HasPrefix(secret, strings.TrimSuffix(m.Source, "/")+"/") || strings.HasPrefix(m.Source, secret+"/") {
				t.Errorf("%+v shows %s", m, secret)
			}
		}
	}
}
