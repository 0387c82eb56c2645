package lockfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// Load returns the lock in the file path. Errors: kind NotFound when there is no such file,
// Invalid when it is not a lock.
func Load(path string) (*Lock, error) {
	f, err := fsx.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Hint(errs.E(errs.NotFound, err), "overland record -- COMMAND makes it")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	l, err := Parse(f, 0)
	if err != nil {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s: %w", path, err), "%s",
			cmp.Or(errs.HintOf(err), "mend the line, restore the committed file (git checkout), or record into another file"))
	}
	return l, nil
}

// Save writes l to the file path, whole or not at all.
func (l *Lock) Save(path string) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if err := l.Write(f); err != nil {
		return err
	}
	return f.Commit()
}

// Writable returns an error when no lock can be written to path: asked before
// minutes go into what it would hold.
func Writable(path string) error {
	f, err := create(path)
	if err == nil {
		f.Discard()
	}
	return err
}

func create(path string) (*fsx.Pending, error) {
	const mode = 0o644
	at := path
	if to, err := filepath.EvalSymlinks(path); err == nil {
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		// A checkout is somebody else's, and so is where its links lead: to the lock of another project, perhaps.
		if rel, err := filepath.Rel(folder, to); err != nil || !filepath.IsLocal(rel) {
			return nil, errs.Hint(errs.Errorf(errs.Invalid, "write %s: it is a link that leads out of its folder, to %s", path, to),
				"when that is the lock that you mean: --lock %s", to)
		}
		at = to // a link stays one
	}
	f, err := (fsx.FS{}).Create(at, mode)
	if err == nil {
		return f, nil
	}
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		err = cause.Err // its path is that of a temporary file
	}
	return nil, errs.Hint(fmt.Errorf("write %s: %w", path, err), "--lock FILE, in a folder that exists and that you may write to")
}
