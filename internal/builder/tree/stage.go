package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Stage is a folder beside the destination, in which the destination is made. Its flock says that
// its owner is alive: the next one removes what a killed one left. The caller closes it.
type Stage struct {
	dest, dir string
	lock      *fsx.Lock
	root      *os.Root // dir/tree
}

const stagePrefix = ".overland-install-"

// Begin returns a Stage for dest, which must not exist (else errs.Conflict). It makes the
// folder around dest when needed.
func Begin(dest string) (*Stage, error) {
	dest, err := filepath.Abs(dest)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(dest); !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Hint(errs.Errorf(errs.Conflict, "%s exists already", dest), "name a folder that does not exist yet")
	}
	s, err := newStage(dest)
	return s, unpackErr(dest, err)
}

// Path returns where the caller may keep a file of its own called name, on the disk
// of the destination, until Close.
func (s *Stage) Path(name string) string { return filepath.Join(s.dir, "own-"+name) }

// sweep removes the stages in parent whose owners are dead. They cost space, not correctness.
func sweep(parent string) {
	list, _ := os.ReadDir(parent)
	for _, e := range list {
		dir := filepath.Join(parent, e.Name())
		if _, err := os.Lstat(filepath.Join(dir, "lock")); err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), stagePrefix) {
			continue
		}
		if lock, err := fsx.TryLock(filepath.Join(dir, "lock")); err == nil {
			_ = os.RemoveAll(dir)
			lock.Unlock()
		}
	}
}

func newStage(dest string) (*Stage, error) {
	parent := filepath.Dir(dest)
	if err := (fsx.FS{}).Mkdir(parent, folderMode); err != nil {
		return nil, err
	}
	sweep(parent)
	s := &Stage{dest: dest}
	// A folder that is not locked yet looks to the sweep of another
	// process like one whose owner is dead.
	for tries := 0; ; tries++ {
		taken, err := s.claim(parent)
		if err != nil {
			s.Close()
			return nil, err
		}
		if taken {
			break
		}
		if s.Close(); tries == maxClaims {
			return nil, errs.Errorf(errs.Unavailable, "other installs in %s are in the way", parent)
		}
	}
	tree := filepath.Join(s.dir, "tree")
	err := os.Mkdir(tree, folderMode)
	if err == nil {
		s.root, err = os.OpenRoot(tree)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

const maxClaims = 100

// claim makes a folder and locks it. It returns false when another
// process locked or removed it first.
func (s *Stage) claim(parent string) (taken bool, err error) {
	if s.dir, err = os.MkdirTemp(parent, stagePrefix); err != nil {
		return false, err
	}
	path := filepath.Join(s.dir, "lock")
	if s.lock, err = fsx.TryLock(path); errors.Is(err, fsx.ErrLocked) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// publish gives the folder top of the stage its name.
func (s *Stage) publish(top string) error {
	disk := fsx.FS{}
	if err := disk.Flush(filepath.Join(s.dir, "tree")); err != nil {
		return err
	}
	if _, err := os.Lstat(s.dest); !errors.Is(err, fs.ErrNotExist) {
		return errs.Errorf(errs.Conflict, "%s was made meanwhile", s.dest)
	}
	if err := disk.Rename(filepath.Join(s.dir, "tree", top), s.dest); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(s.dest))
}

// Close removes what is left of the stage.
func (s *Stage) Close() {
	if s.root != nil {
		s.root.Close()
	}
	_ = os.RemoveAll(s.dir)
	if s.lock != nil {
		s.lock.Unlock()
		s.lock = nil
	}
}

const reserve = 16 << 20 // bytes to leave free on the disk

// Room returns an error (errs.Unavailable) when size bytes and a reserve do not fit
// on the disk of the destination.
func (s *Stage) Room(size int64) error { return fsx.Room(s.dir, size, reserve) }
