package switchover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"overland/internal/fsx"
	"overland/internal/runtime"
)

// open lets the users of services pass through the node's own folders to the program and the data
// of inst: a first install under a strict umask has closed them. closeFolder sees to the
// application's own folder.
func (s *services) open(inst runtime.Instance) error {
	top := s.node.Dir()
	for _, path := range []string{filepath.Dir(inst.Program), filepath.Dir(inst.Dir)} {
		for ; path == top || strings.HasPrefix(path, top+"/"); path = filepath.Dir(path) {
			const enter = 0o011
			info, err := os.Lstat(path)
			if err != nil || !info.IsDir() || info.Mode().Perm()&enter == enter {
				continue
			}
			if err := s.fs.Chmod(path, info.Mode().Perm()|0o055); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeFolder keeps the machine's other users out of dir, an application's folder: nobody else may
// run what its services, which are in all, leave there, such as a set-user-ID program of root's. It
// stays open when they have several groups: no mode lets in all of these and nobody else.
func closeFolder(disk fsx.FS, dir string, all map[string]runtime.Instance) error {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() {
		return err
	}
	group, several := -1, false
	for _, inst := range all {
		if inst.Dir != dir {
			continue
		}
		u, err := runtime.LookupUser(inst.User)
		if err != nil || u.UID == 0 {
			continue // it does not start; or it owns the folder
		}
		several = several || group >= 0 && group != int(u.GID)
		group = int(u.GID)
	}
	const pass = 0o011
	mode := info.Mode().Perm()
	if several {
		if mode&pass == pass {
			return nil
		}
		return disk.Chmod(dir, mode|0o055)
	}
	if os.Geteuid() == 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Gid) != max(group, 0) {
			if err := os.Lchown(dir, -1, max(group, 0)); err != nil {
				return fmt.Errorf("close %s: %w", dir, err)
			}
		}
	}
	if want := mode&0o700 | 0o010; want != mode {
		return disk.Chmod(dir, want)
	}
	return nil
}
