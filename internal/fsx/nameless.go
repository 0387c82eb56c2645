package fsx

import (
	"errors"
	"io/fs"
	"os"
)

// Nameless makes an empty file in the directory dir ("" = the system's for temporary files) that
// has no name, so it is gone when the process ends, however it ends. Name gives it one where the
// system can.
func (f FS) Nameless(dir string, mode fs.FileMode) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	if err := f.before("create", dir); err != nil {
		return nil, err
	}
	if file, err := nameless(dir, mode); err == nil {
		return file, nil
	}
	file, err := os.CreateTemp(dir, ".nameless-")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(file.Chmod(mode), os.Remove(file.Name())); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Name makes an open file of Nameless appear at path, on the same file system. An error that wraps
// fs.ErrExist says that something is there already; any other, that it may have to be copied. The
// name is durable after SyncDir.
func (f FS) Name(file *os.File, path string) error {
	if err := f.before("link", path); err != nil {
		return err
	}
	if err := name(file, path); err != nil {
		return &fs.PathError{Op: "link", Path: path, Err: err}
	}
	return nil
}

// Sync forces the bytes of a file of Nameless to the disk.
func (f FS) Sync(file *os.File) error {
	if err := f.before("sync", file.Name()); err != nil {
		return err
	}
	return file.Sync()
}

// Reopen opens an open file once more, for reading, with an offset of its own;
// errors.ErrUnsupported where the system cannot do that.
func Reopen(file *os.File) (*os.File, error) { return reopen(file) }
