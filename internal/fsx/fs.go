package fsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Op is one change of the disk, named before it happens.
type Op struct {
	Name string // create, write, sync, close, rename, link, symlink, mkdir, remove, chmod, truncate, syncdir, flush
	Path string
}

// FS changes the disk. The zero value is the real disk; copies share the hook. It is safe for
// concurrent use when Before is.
type FS struct {
	// Before, when set, runs before each operation; its error is returned instead of doing the
	// operation.
	Before func(Op) error
}

func (f FS) before(name, path string) error {
	if f.Before == nil {
		return nil
	}
	if err := f.Before(Op{Name: name, Path: path}); err != nil {
		return &fs.PathError{Op: name, Path: path, Err: err}
	}
	return nil
}

// File is an open file whose changes go through its FS.
type File struct {
	*os.File
	fs FS
}

// OpenFile opens path as os.OpenFile does. Opening with os.O_CREATE counts as an operation.
func (f FS) OpenFile(path string, flag int, mode fs.FileMode) (*File, error) {
	if flag&os.O_CREATE != 0 {
		if err := f.before("create", path); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	return &File{File: file, fs: f}, nil
}

// Write writes p as one operation.
func (f *File) Write(p []byte) (int, error) {
	if err := f.fs.before("write", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// WriteAt writes p at offset off as one operation.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.before("write", f.Name()); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

// Sync forces the file's bytes to the disk.
func (f *File) Sync() error {
	if err := f.fs.before("sync", f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

// Truncate sets the file's length in bytes.
func (f *File) Truncate(size int64) error {
	if err := f.fs.before("truncate", f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// WriteFile puts data at path, whole or not at all, and returns when it will survive a power cut.
// The directory must exist. mode is set exactly, whatever the umask.
func (f FS) WriteFile(path string, data []byte, mode fs.FileMode) error {
	return f.WriteWith(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteWith is WriteFile for what write writes. Its error is returned, and path is as it was.
func (f FS) WriteWith(path string, mode fs.FileMode, write func(io.Writer) error) error {
	w, err := f.Create(path, mode)
	if err != nil {
		return err
	}
	defer w.Discard()
	if err := write(w); err != nil {
		return err
	}
	return w.Commit()
}

// Pending is a file that is not there yet: written beside its path and put in place by Commit.
type Pending struct {
	*File
	path string
	done bool
}

// Create starts a file that will replace path. The caller ends it with Commit or Discard.
func (f FS) Create(path string, mode fs.FileMode) (*Pending, error) {
	if err := f.before("create", path); err != nil {
		return nil, err
	}
	t, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".tmp-*")
	if err != nil {
		return nil, err
	}
	if err := t.Chmod(mode); err != nil {
		return nil, errors.Join(err, t.Close(), os.Remove(t.Name()))
	}
	return &Pending{File: &File{File: t, fs: f}, path: path}, nil
}

// Commit makes the bytes durable, then the name: fsync, rename, fsync of the directory.
func (p *Pending) Commit() error {
	if err := p.Sync(); err != nil {
		return err
	}
	if err := p.File.Close(); err != nil {
		return err
	}
	if err := p.fs.Rename(p.Name(), p.path); err != nil {
		return err
	}
	p.done = true
	return p.fs.SyncDir(filepath.Dir(p.path))
}

// Discard drops a file that was not committed. After Commit it does nothing, so it can be deferred.
func (p *Pending) Discard() {
	if !p.done {
		p.done = true
		p.File.Close()
		os.Remove(p.Name())
	}
}

// Rename moves from to to, replacing it. The move is durable after SyncDir of both directories.
func (f FS) Rename(from, to string) error {
	if err := f.before("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// Link makes a hard link.
func (f FS) Link(from, to string) error {
	if err := f.before("link", to); err != nil {
		return err
	}
	return os.Link(from, to)
}

// Symlink makes path a symbolic link to target, replacing what is there in one step, and makes it
// durable.
func (f FS) Symlink(target, path string) error {
	if err := f.before("symlink", path); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := f.Rename(tmp, path); err != nil {
		return err
	}
	return f.SyncDir(filepath.Dir(path))
}

// Mkdir makes the directory path and any parent that is missing, and makes their names durable.
func (f FS) Mkdir(path string, mode fs.FileMode) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("mkdir %s: a file is there", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := f.Mkdir(parent, mode); err != nil {
			return err
		}
	}
	if err := f.before("mkdir", path); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.SyncDir(parent)
}

// Remove removes one file or empty directory; a missing one is not an error.
func (f FS) Remove(path string) error {
	if err := f.before("remove", path); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveAll removes path and everything below it; a missing one is not an error. It is not one
// step.
func (f FS) RemoveAll(path string) error {
	if err := f.before("remove", path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}

// Chmod sets the mode of path.
func (f FS) Chmod(path string, mode fs.FileMode) error {
	if err := f.before("chmod", path); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// Flush makes everything on the disk of dir durable: one call for any number of files.
func (f FS) Flush(dir string) error {
	if err := f.before("flush", dir); err != nil {
		return err
	}
	return flushAll(dir)
}

// SyncDir makes the names in directory dir durable.
func (f FS) SyncDir(dir string) error {
	if err := f.before("syncdir", dir); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
