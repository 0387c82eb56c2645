package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// place is a temporary folder whose name does not change: a compiler may write it into what it makes. What a killed run
// left in it is removed by the next one.
type place struct {
	dir  string
	lock *fsx.Lock
}

// takePlace takes the folder name below the system's temporary one. It is errs.Conflict while another run has it.
func takePlace(name string) (*place, error) {
	dir := filepath.Join(os.TempDir(), name)
	for {
		const mode = 0o700
		if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		switch info, err := os.Lstat(dir); {
		case errors.Is(err, fs.ErrNotExist):
			continue // the run before removed the folder just now
		case err != nil || !mine(info):
			return nil, errs.Hint(errs.Errorf(errs.Conflict, "%s belongs to somebody else", dir), "set TMPDIR to another folder")
		}
		lock, err := fsx.TryLock(filepath.Join(dir, "lock"))
		switch {
		case errors.Is(err, fsx.ErrLocked):
			return nil, errs.Hint(errs.E(errs.Conflict, err), "the same release is open already: wait for it, or set TMPDIR to another folder")
		case errors.Is(err, fs.ErrNotExist):
			continue // as above
		case err != nil:
			return nil, err
		}
		p := &place{dir, lock}
		if !lock.InPlace() {
			_ = lock.Unlock()
			continue // as above, and there may be a new one by now
		}
		if err := p.clear(); err != nil {
			return nil, errors.Join(err, lock.Unlock())
		}
		return p, nil
	}
}

// mine reports whether info is a folder of this user that nobody else may write to.
func mine(info fs.FileInfo) bool {
	const others = 0o022
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && info.Mode().Perm()&others == 0 && int(stat.Uid) == os.Geteuid()
}

// clear makes the folder as good as new.
func (p *place) clear() error {
	const mode = 0o700
	return errors.Join(p.empty(), os.Mkdir(filepath.Join(p.dir, "tmp"), mode))
}

// empty removes everything but the lock.
func (p *place) empty() error {
	old, err := os.ReadDir(p.dir)
	for _, e := range old {
		if e.Name() != "lock" {
			err = errors.Join(err, fsx.RemoveTree(filepath.Join(p.dir, e.Name())))
		}
	}
	return err
}

// leave removes the folder. The lock goes after everything else: once its name is free another run may have the folder,
// which is then not removed.
func (p *place) leave() error {
	err := p.empty()
	if err == nil {
		err = os.Remove(filepath.Join(p.dir, "lock"))
	}
	if err == nil {
		_ = os.Remove(p.dir)
	}
	return errors.Join(err, p.lock.Unlock())
}

// environ returns environ for a command that shall find nothing of this machine's site directory and caches.
func (p *place) environ(environ []string) []string {
	set := map[string]string{
		"OVERLAND_HOME":  filepath.Join(p.dir, "home"),
		"TMPDIR":         filepath.Join(p.dir, "tmp"),
		"GOCACHE":        filepath.Join(p.dir, "cache", "go-build"),
		"XDG_CACHE_HOME": filepath.Join(p.dir, "cache"),
	}
	gone := []string{"OVERLAND_PASSPHRASE", "OVERLAND_COMPILED", "OVERLAND_AGENTS"}
	out := slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return set[name] != "" || slices.Contains(gone, name)
	})
	for name, value := range set {
		out = append(out, name+"="+value)
	}
	return out
}
