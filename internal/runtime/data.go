package runtime

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// MakeData makes the data folders of i, mode 0750 and owned by i.User. A folder that exists keeps
// its content and mode; its owner is put right, not that of the files inside. A symbolic link in
// its place is refused: the service could have pointed it at another's files.
func MakeData(disk fsx.FS, i Instance) error {
	if len(i.Data) == 0 {
		return nil
	}
	u, err := LookupUser(i.User)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(i.Data)) {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return errs.Errorf(errs.Invalid, "data folder %q: not a name", name)
		}
		if err := disk.Mkdir(filepath.Dir(i.Data[name]), 0o755); err != nil {
			return fmt.Errorf("data folder %s: %w", name, err)
		}
		if err := makeFolder(disk, i.Data[name], u); err != nil {
			return fmt.Errorf("data folder %s: %w", name, err)
		}
	}
	return nil
}

func makeFolder(disk fsx.FS, path string, u User) error {
	if err := disk.Mkdir(path, 0o750); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok {
		return errs.Errorf(errs.Denied, "%s is not a directory", path)
	}
	if st.Uid == u.UID && st.Gid == u.GID {
		return nil
	}
	if err := os.Lchown(path, int(u.UID), int(u.GID)); err != nil {
		return err
	}
	return disk.SyncDir(path)
}
