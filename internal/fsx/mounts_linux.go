package fsx

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// NoExec returns where the file system is mounted that the file or folder at path is on, or will be,
// when it is mounted noexec: no program there can be started. "" = it is not, or nothing is known.
func NoExec(path string) string {
	var s unix.Statfs_t
	for ; ; path = filepath.Dir(path) {
		err := unix.Statfs(path, &s)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
			return ""
		}
	}
	if s.Flags&unix.ST_NOEXEC == 0 {
		return ""
	}
	at := path
	if full, err := filepath.EvalSymlinks(path); err == nil {
		at = full
	}
	best := ""
	for mount := range mounts() {
		if mount == "/" || at == mount || strings.HasPrefix(at, mount+"/") {
			if len(mount) > len(best) {
				best = mount
			}
		}
	}
	if best == "" {
		return path
	}
	return best
}

// mounts returns where something is mounted, as far as /proc says it.
func mounts() map[string]bool {
	list := map[string]bool{}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return list
	}
	defer f.Close()
	const at = 4 // the field of the mount point: proc(5)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > at {
			list[strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[at])] = true
		}
	}
	return list
}

// Purge removes path and all below it, and goes on past what it cannot remove, which it returns. It
// never follows a symbolic link and never enters another mount: what somebody mounted there, a disk
// or a folder of this one, is not path's.
func (f FS) Purge(path string) []Left {
	if err := f.before("remove", path); err != nil {
		return []Left{{path, err}}
	}
	parent, err := unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return []Left{{path, err}}
	}
	defer unix.Close(parent)
	return purgeIn(parent, path, false)
}

// removeForced removes dir, which os.RemoveAll could not.
func removeForced(dir string) error {
	parent, err := unix.Open(filepath.Dir(dir), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "remove", Path: dir, Err: err}
	}
	defer unix.Close(parent)
	if left := purgeIn(parent, dir, true); len(left) > 0 {
		const longest = 1000 // bytes of a path that is shown
		return &os.PathError{Op: "remove", Path: left[0].Path[:min(len(left[0].Path), longest)], Err: left[0].Err}
	}
	return nil
}

func purgeIn(parent int, path string, forced bool) []Left {
	p := purge{forced: forced}
	if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		p.mounts, p.real, p.said = mounts(), filepath.Join(folder, filepath.Base(path)), path
	}
	p.remove(parent, filepath.Base(path), path)
	return p.left
}

type purge struct {
	left       []Left
	mounts     map[string]bool // for kernels that do not say which mount a folder is on
	real, said string          // two names of the top
	depth, top int             // of the folders that are open, and the descriptor of the first
	forced     bool            // folders are given the modes that it takes
	moved, due int             // folders that were so deep that they were moved to the top, and the next of them to remove
}

// deepest is how many folders are open at once: a service nests more than a process may open.
const deepest = 256

func movedName(n int) string { return ".purged-" + strconv.Itoa(n) }

// remove removes name in the folder parent, which is called path, and reports whether it is gone.
func (p *purge) remove(parent int, name, path string) bool {
	err := unix.Unlinkat(parent, name, 0)
	if err == nil || err == unix.ENOENT {
		return true
	}
	if err != unix.EISDIR && err != unix.EPERM { // EPERM: POSIX's word for a folder
		return p.keep(path, err)
	}
	if p.depth >= deepest && unix.Renameat(parent, name, p.top, movedName(p.moved)) == nil {
		p.moved++
		return true
	}
	const mode, flags = 0o700, unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, oerr := unix.Openat(parent, name, flags, 0)
	if p.forced && oerr == unix.EACCES && unix.Fchmodat(parent, name, mode, 0) == nil {
		fd, oerr = unix.Openat(parent, name, flags, 0)
	}
	if oerr == unix.ENOTDIR || oerr == unix.ELOOP {
		return p.keep(path, err)
	}
	if oerr != nil {
		return p.keep(path, oerr)
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	if p.mounted(parent, fd, path) {
		return p.keep(path, ErrMount)
	}
	if p.depth == 0 {
		p.top = fd
	}
	if p.forced {
		_ = unix.Fchmod(fd, mode)
	}
	p.depth++
	defer func() { p.depth-- }()
	for empty := true; ; empty = true {
		if !p.below(dir, path, &empty) {
			return false
		}
		err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
		switch {
		case err == nil, err == unix.ENOENT:
			return true
		case err != unix.ENOTEMPTY && err != unix.EEXIST || empty:
			return p.keep(path, err)
		}
		// More was put there meanwhile, or a listing of a folder that changes leaves some out.
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return p.keep(path, err)
		}
	}
}

// below removes what is in dir, called path, and reports whether all of it is gone; empty becomes
// false when there was anything.
func (p *purge) below(dir *os.File, path string, empty *bool) bool {
	const some = 1024
	gone := true
	for {
		names, err := dir.Readdirnames(some)
		for _, name := range names {
			*empty = false
			gone = p.remove(int(dir.Fd()), name, filepath.Join(path, name)) && gone
			for ; p.depth == 1 && p.due < p.moved; p.due++ {
				name := movedName(p.due)
				gone = p.remove(int(dir.Fd()), name, filepath.Join(path, name)) && gone
			}
		}
		switch {
		case err == io.EOF:
			return gone
		case err != nil:
			return p.keep(path, err)
		}
	}
}

func (p *purge) keep(path string, err error) bool {
	if errors.Is(err, unix.EBUSY) {
		err = ErrMount
	}
	p.left = append(p.left, Left{path, err})
	return false
}

// mounted reports whether the folder fd is on another mount than the folder parent that it is in.
func (p *purge) mounted(parent, fd int, path string) bool {
	var a, b unix.Statx_t
	const flags = unix.AT_EMPTY_PATH | unix.AT_NO_AUTOMOUNT
	if unix.Statx(parent, "", flags, unix.STATX_MNT_ID, &a) == nil && unix.Statx(fd, "", flags, unix.STATX_MNT_ID, &b) == nil &&
		a.Mask&b.Mask&unix.STATX_MNT_ID != 0 {
		return a.Mnt_id != b.Mnt_id
	}
	var over, under unix.Stat_t
	if unix.Fstat(parent, &over) != nil || unix.Fstat(fd, &under) != nil || over.Dev != under.Dev {
		return true
	}
	return p.mounts[p.real+strings.TrimPrefix(path, p.said)]
}
