package command

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"overland/internal/errs"
)

// place is where one command runs: scratch/src, with scratch/home and scratch/tmp beside it, and
// the cache that it may keep.
type place struct {
	scratch, src, home, tmp, cache string

	said *tail // of a command that ended well
}

// newPlace copies what t sees of its checkout into its scratch folder: with the modes of the checkout,
// whatever the umask, and one time on every file and folder.
func newPlace(t Task) (place, error) {
	in := func(name string) string { return filepath.Join(t.Scratch, name) }
	w := place{scratch: t.Scratch, src: in("src"), home: in("home"), tmp: in("tmp"), cache: t.Cache}
	// The Go command's telemetry would start a process that outlives the build.
	mode := filepath.Join(w.home, ".config", "go", "telemetry", "mode")
	for _, dir := range []string{filepath.Dir(mode), w.tmp} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return w, err
		}
	}
	if err := os.WriteFile(mode, []byte("off\n"), 0o600); err != nil {
		return w, err
	}
	if err := copyTree(w.src, t.Src, t.Sees); err != nil {
		return w, err
	}
	return w, filepath.WalkDir(w.src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		perm := fs.FileMode(0o644)
		if d.IsDir() || info.Mode()&0o100 != 0 {
			perm = 0o755
		}
		return errors.Join(os.Chmod(path, perm), os.Chtimes(path, t.Time, t.Time))
	})
}

// copyTree copies those files of the folder from that sees takes, nil for all, to to, which is missing.
// It is not os.CopyFS, which takes no name that is not UTF-8.
func copyTree(to, from string, sees func(string) bool) error {
	if sees != nil {
		if err := os.Mkdir(to, fs.ModePerm); err != nil {
			return err
		}
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if sees != nil {
			if d.IsDir() || !sees(filepath.ToSlash(rel)) {
				return nil
			}
			if err := os.MkdirAll(filepath.Dir(target), fs.ModePerm); err != nil {
				return err
			}
		}
		switch {
		case d.IsDir():
			return os.Mkdir(target, fs.ModePerm)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		return copyFile(target, path)
	})
}

func copyFile(to, from string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// own returns the folders in which the command may write.
func (w place) own() []string { return []string{w.scratch, w.cache} }

// output returns the regular file called name below the copy, and whether it is data and not a
// program. Links on the way to it may not leave the copy.
func (w place) output(name string, limit int64) (file string, data bool, err error) {
	bad := func(format string, args ...any) (string, bool, error) {
		return "", false, errs.Hint(errs.Errorf(errs.Invalid, format, args...), "output in overland.yaml names the one file that the command makes")
	}
	root, err := os.OpenRoot(w.src)
	if err != nil {
		return bad("the command removed its own folder")
	}
	defer root.Close()
	info, err := root.Lstat(filepath.FromSlash(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return bad("the command made no %s", name)
	case err != nil:
		return bad("%s: %w", name, err) // "path escapes from parent", for one
	case !info.Mode().IsRegular():
		return bad("%s is not a regular file but %s", name, info.Mode())
	case info.Size() == 0:
		return bad("%s is empty", name)
	case info.Size() > limit:
		return bad("%s has %d bytes, more than %d", name, info.Size(), limit)
	}
	return filepath.Join(w.src, filepath.FromSlash(name)), info.Mode()&0o100 == 0, nil
}
