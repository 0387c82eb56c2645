package runtime

import (
	"errors"
	"fmt"
	"io/fs"
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
// its content and mode. When it is another's, as after a release that ran as root, it and what is in
// it become i.User's: the folder last, so that a crash is made up for, also by going back. A symbolic link in its place
// is refused: the service could have pointed it at another's files; of links inside of it the links
// themselves are handed over, and a file with a second name only when it was the folder's owner's.
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

// onItsWay is the group of a folder that is being handed over; no service is in it.
const onItsWay = 65533

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
		return errs.Hint(errs.Errorf(errs.Denied, "%s is not a directory", path), "for data elsewhere: mount --bind DIR %s", path)
	}
	if st.Uid == u.UID && st.Gid == u.GID {
		return nil
	}
	// A folder whose group is nobody's is on its way: whoever comes next, also the user from before,
	// hands all of it over. Where the machine has no such group a crash on the way is not made up for.
	if os.Lchown(path, -1, onItsWay) == nil {
		if err := disk.SyncDir(path); err != nil {
			return err
		}
	}
	if err := handOver(path, st.Uid, u); err != nil {
		return err
	}
	if err := os.Lchown(path, int(u.UID), int(u.GID)); err != nil {
		return err
	}
	return disk.SyncDir(path)
}

// handOver makes all below the folder path u's. The service before may still run and rename things
// meanwhile: nothing outside of the folder is reached through what it puts there.
func handOver(path string, before uint32, u User) error {
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	return handOverAll(root, before, u, 0)
}

// deepest is how many folders in one another are handed over: each is held open, and one that was named from the top would be
// looked for through all above it.
const deepest = 256

func handOverAll(root *os.Root, before uint32, u User, depth int) error {
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	dir.Close()
	for _, name := range names {
		info, err := root.Lstat(name)
		if err != nil {
			continue // removed meanwhile
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !info.IsDir() && st.Nlink > 1 && st.Uid != before {
			continue // a second name of a file that may be anybody's
		}
		err = root.Lchown(name, int(u.UID), int(u.GID))
		if err == nil && info.IsDir() {
			if depth == deepest {
				return errs.Errorf(errs.Invalid, "%.100q: more than %d folders in one another", name, deepest)
			}
			var below *os.Root
			if below, err = root.OpenRoot(name); err == nil {
				err = handOverAll(below, before, u, depth+1)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}
