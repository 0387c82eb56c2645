package cell

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"overland/internal/confine"
)

// owner returns who a folder belongs to.
func owner(dir string) (uid, gid int, _ error) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, errors.New("a file without an owner")
	}
	return int(st.Uid), int(st.Gid), nil
}

// give gives the command's own folders to the user that it is to the machine. One that is given
// already is left as it is: a cache that another command of its kind has filled.
func (o *Options) give(u confine.User) error {
	if os.Geteuid() != 0 || u.HostID == 0 {
		return nil
	}
	for _, dir := range o.Own {
		uid, gid, err := owner(dir)
		if err == nil && uid == u.HostID && gid == u.HostGroup {
			continue
		}
		if err = errors.Join(err, give(dir, u.HostID, u.HostGroup)); err != nil {
			return err
		}
	}
	return nil
}

// Give makes all that is in dir a build's own, when root runs this: a folder in Options.Own in which
// others have made files since.
func Give(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return give(dir, User, User)
}

func give(dir string, uid, gid int) error {
	resolved, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(resolved, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, uid, gid))
	})
}
