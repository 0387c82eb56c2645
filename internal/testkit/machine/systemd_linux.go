package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// newCgroup makes a control group below this process's own, which a machine's systemd then takes
// for the whole: it must not touch the groups of this machine's systemd. The caller closes it
// and removes it with removeCgroup.
func newCgroup(name string) (*os.File, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	mine, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	var top, own string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			top = f[1]
		}
	}
	for line := range strings.Lines(string(mine)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			own = path
		}
	}
	if top == "" {
		return nil, errors.New("cgroup2 is not mounted: systemd cannot run in a machine")
	}
	dir := filepath.Join(top, own, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a control group (needs root): %w", err)
	}
	return os.Open(dir)
}

// removeCgroup removes a control group and those that systemd made in it; "" is none.
func removeCgroup(dir string) {
	if dir == "" {
		return
	}
	var dirs []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		_ = os.Remove(dirs[i])
	}
}

// prepareSystemd adds what systemd wants to find as process 1: its own part of the control
// groups, /run and a machine id.
func prepareSystemd(root string) error {
	for _, m := range []struct{ kind, dir string }{{"sysfs", "sys"}, {"cgroup2", "sys/fs/cgroup"}, {"tmpfs", "run"}, {"tmpfs", "dev/shm"}} {
		dir := filepath.Join(root, m.dir)
		if m.kind == "tmpfs" {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := syscall.Mount(m.kind, dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o644)
}
