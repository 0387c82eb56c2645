package runtime

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Volumes makes the directories of s's volumes below root, mode 0750 and owned by s.User, and returns name → path.
// What exists keeps its content and mode; its owner is mended, not that of what is inside. A volume that is a symbolic
// link is refused: its owner could point it at another's files.
func Volumes(disk fsx.FS, root string, s appfile.Service) (map[string]string, error) {
	paths := make(map[string]string, len(s.Data))
	if len(s.Data) == 0 {
		return paths, nil
	}
	u, err := LookupUser(s.User)
	if err != nil {
		return nil, err
	}
	if err := disk.Mkdir(root, 0o755); err != nil {
		return nil, fmt.Errorf("volumes %s: %w", root, err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Data)) {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return nil, errs.Errorf(errs.Invalid, "volume %q: not a name", name)
		}
		path := filepath.Join(root, name)
		if err := volume(disk, path, u); err != nil {
			return nil, fmt.Errorf("volume %s: %w", name, err)
		}
		paths[name] = path
	}
	return paths, nil
}

func volume(disk fsx.FS, path string, u User) error {
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
