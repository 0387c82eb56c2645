package home

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Scratch is a temporary folder whose name does not change, because a compiler may write it into
// what it makes. The next run removes what a killed one left in it.
type Scratch struct {
	dir  string
	lock *fsx.Lock
}

const lockName = "lock"

// TakeScratch takes the folder name below the system's temporary folder; where that name is another
// user's, or open to others, below this user's own cache: anybody may make a name in /tmp. The caller
// ends it with Leave. Errors: kind Conflict while another run has it, or when neither can be had.
func TakeScratch(name string) (*Scratch, error) {
	s, err := takeScratch(os.TempDir(), name)
	if !errors.Is(err, errTaken) {
		return s, err
	}
	own, cerr := os.UserCacheDir()
	if cerr != nil {
		return nil, err
	}
	own = filepath.Join(own, "overland")
	const mode = 0o700
	if cerr := os.MkdirAll(own, mode); cerr != nil {
		return nil, errors.Join(err, cerr)
	}
	return takeScratch(own, name)
}

// errTaken is wrapped by the error of a folder that is not this user's alone.
var errTaken = errors.New("belongs to another user, or others may write to it")

func takeScratch(below, name string) (*Scratch, error) {
	dir := filepath.Join(below, name)
	for {
		const mode = 0o700
		if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		switch info, err := os.Lstat(dir); {
		case errors.Is(err, fs.ErrNotExist):
			continue // the run before removed the folder just now
		case err != nil || !mine(info):
			return nil, errs.Hint(errs.E(errs.Conflict, fmt.Errorf("%s %w", dir, errTaken)), "set TMPDIR to another folder")
		}
		lock, err := fsx.TryLock(filepath.Join(dir, lockName))
		switch {
		case errors.Is(err, fsx.ErrLocked):
			return nil, errs.Hint(errs.E(errs.Conflict, err),
				"the same release is open already: wait for it, or set TMPDIR to another folder")
		case errors.Is(err, fs.ErrNotExist):
			continue // as above
		case err != nil:
			return nil, err
		}
		s := &Scratch{dir, lock}
		if !lock.InPlace() {
			_ = lock.Unlock()
			continue // as above, and there may be a new one by now
		}
		if err := s.clear(); err != nil {
			return nil, errors.Join(err, lock.Unlock())
		}
		return s, nil
	}
}

// mine reports whether info is a folder of this user to which nobody else may write.
func mine(info fs.FileInfo) bool {
	const others = 0o022
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && info.Mode().Perm()&others == 0 && int(stat.Uid) == os.Geteuid()
}

// clear empties the folder and makes a temporary one in it.
func (s *Scratch) clear() error {
	const mode = 0o700
	return errors.Join(s.empty(), os.Mkdir(filepath.Join(s.dir, "tmp"), mode))
}

// empty removes everything but the lock.
func (s *Scratch) empty() error {
	old, err := os.ReadDir(s.dir)
	for _, e := range old {
		if e.Name() != lockName {
			err = errors.Join(err, fsx.RemoveTree(filepath.Join(s.dir, e.Name())))
		}
	}
	return err
}

// Dir returns the folder's path.
func (s *Scratch) Dir() string { return s.dir }

// Leave removes the folder. The lock file goes last: once its name is free another run may take the
// folder, which is then left alone.
func (s *Scratch) Leave() error {
	err := s.empty()
	if err == nil {
		err = os.Remove(filepath.Join(s.dir, lockName))
	}
	if err == nil {
		_ = os.Remove(s.dir)
	}
	return errors.Join(err, s.lock.Unlock())
}

// Environ returns list for a command that must find nothing of this
// machine's site directory and caches.
func (s *Scratch) Environ(list []string) []string {
	set := map[string]string{
		"OVERLAND_HOME":  filepath.Join(s.dir, "home"),
		"TMPDIR":         filepath.Join(s.dir, "tmp"),
		"GOCACHE":        filepath.Join(s.dir, "cache", "go-build"),
		"XDG_CACHE_HOME": filepath.Join(s.dir, "cache"),
	}
	gone := []string{"OVERLAND_COMPILED", "OVERLAND_AGENTS"}
	out := slices.DeleteFunc(environ.Without(list), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return set[name] != "" || slices.Contains(gone, name)
	})
	for name, value := range set {
		out = append(out, name+"="+value)
	}
	return out
}
