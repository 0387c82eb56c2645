package maintscript

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// File is one file, folder or symbolic link of a root.
type File struct {
	Mode     fs.FileMode // type and permissions
	UID, GID int
	Target   string // of a link, as it is
	Size     int64  // of a regular file, bytes
}

// Root is what scripts change. Names are clean, relative to it, and have no link in them but for the last part: "etc/passwd";
// "" is the root itself.
type Root interface {
	// Get returns the file name itself, not what it links to.
	Get(name string) (f File, ok bool)
	// List returns the names in the folder dir, without it, sorted.
	List(dir string) []string
	// Read returns what the regular file name holds.
	Read(name string) ([]byte, error)
	// Bytes is Read of a file of any length.
	Bytes(name string) io.ReaderAt
	// Put makes name what f says, in place of what is there. b is what a regular file holds; nil = what it held.
	Put(name string, f File, b []byte) error
	// Remove removes name, and what lies below it.
	Remove(name string)
	// Rename moves name, and what lies below it.
	Rename(from, to string) error
}

// at is the place of scripts in a root: how they name files.
type at struct{ Root }

const linksLimit = 40 // followed for one name, as Linux does

var errLoop = errors.New("too many levels of symbolic links")

// Put implements Root for names that are below the root: a script may have put others together, of "x/..".
func (r at) Put(name string, f File, b []byte) error {
	if err := below(name); err != nil {
		return err
	}
	return r.Root.Put(name, f, b)
}

// Rename implements Root, like Put.
func (r at) Rename(from, to string) error {
	if err := cmp.Or(below(from), below(to)); err != nil {
		return err
	}
	return r.Root.Rename(from, to)
}

// below returns an error unless name is one of a file below the root.
func below(name string) error {
	if name == "." || !filepath.IsLocal(name) || path.Clean(name) != name {
		return fmt.Errorf("%q is not a file below the root", name)
	}
	return nil
}

// name returns the name in the root of what a script in the folder dir calls p; follow = of what a link at its end leads to. The
// last part need not exist, the others must.
func (r at) name(dir, p string, follow bool) (string, error) {
	if !path.IsAbs(p) {
		p = path.Join(dir, p)
	}
	todo := strings.Split(strings.Trim(path.Clean(p), "/"), "/")
	var done string
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			done = strings.TrimPrefix(path.Dir("/"+done), "/")
			continue
		}
		next := path.Join(done, part)
		f, ok := r.Get(next)
		switch {
		case ok && f.Mode&fs.ModeSymlink != 0 && (follow || len(todo) > 0):
			if links++; links > linksLimit {
				return "", &fs.PathError{Op: "open", Path: p, Err: errLoop}
			}
			if path.IsAbs(f.Target) {
				done = ""
			}
			todo = append(strings.Split(strings.Trim(f.Target, "/"), "/"), todo...)
			continue
		case len(todo) > 0 && !ok:
			return "", &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
		case len(todo) > 0 && !f.Mode.IsDir():
			return "", &fs.PathError{Op: "open", Path: p, Err: errors.New("not a directory")}
		}
		done = next
	}
	return done, nil
}

// find returns the file that is called p, and its name in the root.
func (r at) find(dir, p string, follow bool) (string, File, error) {
	name, err := r.name(dir, p, follow)
	if err != nil {
		return "", File{}, err
	}
	if name == "" {
		const open = 0o755
		return "", File{Mode: fs.ModeDir | open}, nil
	}
	f, ok := r.Get(name)
	if !ok {
		return name, File{}, &fs.PathError{Op: "stat", Path: p, Err: fs.ErrNotExist}
	}
	return name, f, nil
}

// read returns what the file p holds.
func (r at) read(dir, p string) ([]byte, error) {
	name, f, err := r.find(dir, p, true)
	if err != nil {
		return nil, err
	}
	if !f.Mode.IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: p, Err: errors.New("is a directory")}
	}
	return r.Read(name)
}

// write makes the file p hold b. One that is there keeps its mode and owner.
func (r at) write(dir, p string, b []byte) error {
	const usual = 0o022
	return r.make(dir, p, b, usual)
}

// make is write, with the bits that a new file does not get.
func (r at) make(dir, p string, b []byte, mask fs.FileMode) error {
	name, f, err := r.find(dir, p, true)
	switch {
	case errors.Is(err, fs.ErrNotExist) && name != "":
		const all = 0o666
		f = File{Mode: all &^ mask}
	case err != nil:
		return err
	case !f.Mode.IsRegular():
		return &fs.PathError{Op: "write", Path: p, Err: errors.New("is a directory")}
	}
	if b == nil {
		b = []byte{}
	}
	return r.Put(name, f, b)
}

// walk calls do for name and all that lies below it, a folder before what is in it.
func (r at) walk(name string, do func(name string, f File) error) error {
	f, ok := r.Get(name)
	if !ok {
		return nil
	}
	if err := do(name, f); err != nil {
		return err
	}
	if f.Mode.IsDir() {
		for _, one := range r.List(name) {
			if err := r.walk(path.Join(name, one), do); err != nil {
				return err
			}
		}
	}
	return nil
}

// info is a File as the interpreter asks for it.
type info struct {
	name string
	File
}

func (i info) Name() string               { return path.Base("/" + i.name) }
func (i info) Size() int64                { return i.File.Size }
func (i info) Mode() fs.FileMode          { return i.File.Mode }
func (i info) ModTime() time.Time         { return time.Time{} }
func (i info) IsDir() bool                { return i.File.Mode.IsDir() }
func (i info) Sys() any                   { return nil }
func (i info) Type() fs.FileMode          { return i.File.Mode.Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }
