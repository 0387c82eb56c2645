package cell

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"overland/internal/confine"
)

// owner returns the user and group of a folder.
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

// give gives the command's own folders to its user on the machine. A folder that already belongs to
// that user is left as it is: a cache that an earlier command has filled.
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

// Give gives dir, a folder in Options.Own, and all that is in it to User, when root runs this:
// others may have made files there since.
func Give(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return give(dir, User, User)
}

// give changes the owner of dir and of all that is in it. Nothing outside of dir is touched, also when
// a process that may write there puts links in the place of folders meanwhile.
func give(dir string, uid, gid int) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	return errors.Join(root.Lchown(".", uid, gid), giveIn(root, uid, gid))
}

// giveIn is give for what is in root, which it closes. It is not fs.WalkDir of root.FS, which takes no
// name that is not UTF-8.
func giveIn(root *os.Root, uid, gid int) error {
	defer root.Close()
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	list, err := dir.ReadDir(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, e := range list {
		err := root.Lchown(e.Name(), uid, gid)
		if err == nil && e.IsDir() {
			var in *os.Root
			if in, err = root.OpenRoot(e.Name()); err == nil {
				err = giveIn(in, uid, gid)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return err
		}
	}
	return nil
}
