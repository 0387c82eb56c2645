package fsx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"overland/internal/errs"
)

// ErrNotRegular is wrapped by the error (errs.Invalid) of an Open of something that is not a
// regular file, or of a ReadNames of something that is not a folder.
var ErrNotRegular = errors.New("not a regular file")

const nonblock = syscall.O_NONBLOCK | syscall.O_NOCTTY

// Open opens the regular file path for reading. It is for every name that somebody else may have
// made: it never waits, and a pipe, a socket or a device that stands there is refused without being
// opened, so that nothing happens to it. Symbolic links are followed.
func Open(path string) (*os.File, error) { return open(path, true) }

// OpenUnlinked is Open that refuses a symbolic link at the end of path as well: for folders where
// anybody may create a name, but must not choose what this process reads.
func OpenUnlinked(path string) (*os.File, error) { return open(path, false) }

// OpenIn is Open for a name below root. It does not follow links that leave root.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, irregular(filepath.Join(root.Name(), name), info.Mode())
	}
	f, err := root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = irregular(filepath.Join(root.Name(), name), info.Mode())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openAgain opens path, which must still be the file that info describes.
func openAgain(path string, nofollow int, info fs.FileInfo) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock|nofollow, 0)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err == nil && (!os.SameFile(info, now) || !now.Mode().IsRegular()) { // a number is given away again
		err = &fs.PathError{Op: "open", Path: path, Err: errors.New("replaced while it was opened")}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func openDir(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
}

func irregular(path string, mode fs.FileMode) error {
	what := "something else"
	switch mode.Type() {
	case fs.ModeDir:
		what = "a folder"
	case fs.ModeSymlink:
		what = "a link"
	case fs.ModeNamedPipe:
		what = "a named pipe"
	case fs.ModeSocket:
		what = "a socket"
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		what = "a device"
	}
	return errs.Hint(errs.E(errs.Invalid, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("%s, %w", what, ErrNotRegular)}),
		"put a file in its place")
}

// ReadNames calls use with the names in the folder path, in no order, a few hundred at a time: a
// folder may hold millions. What is not a folder is refused without waiting. The error of use ends
// it.
func ReadNames(path string, use func(names []string) error) error {
	d, err := openDir(path)
	if err != nil {
		return err
	}
	defer d.Close()
	const some = 512
	for {
		names, err := d.Readdirnames(some)
		if len(names) > 0 {
			if err := use(names); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// OpenStream opens for reading what a person named on the command line. It may be a pipe, and is
// waited for.
func OpenStream(path string) (*os.File, error) { return os.Open(path) }

// DirFS is os.DirFS whose files are opened as Open does: for a folder that somebody else filled.
func DirFS(dir string) fs.FS { return dirFS(dir) }

type dirFS string

func (d dirFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	path := filepath.Join(string(d), filepath.FromSlash(name))
	if f, err := openDir(path); err == nil {
		return f, nil
	}
	return Open(path)
}
