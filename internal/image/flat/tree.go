package flat

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/fsx"
)

type header = tar.Header

const (
	folderMode = 0o755
	nameMost   = 4095      // bytes; Linux has no longer paths, and follows no longer links
	freshMost  = 256 << 20 // bytes of the names of one layer, which are held in memory
	linksMost  = 40        // that one name leads through
)

// tree is a root that is being made. Nobody else changes it.
type tree struct {
	root   *os.Root
	layers archive.Layered[struct{}] // counts for its bounds
	fresh  map[string]bool           // what the layer at hand has put, and the folders above it
	held   int64                     // bytes in fresh
	left   []string
}

func untrusted(format string, args ...any) error { return errs.Errorf(errs.Untrusted, format, args...) }

// member does what the member h of a layer says.
func (t *tree) member(h *header, in io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader { // as git archive writes
		return nil
	}
	if err := t.put(h, in); err != nil {
		return fmt.Errorf("%.200q: %w", h.Name, err)
	}
	return nil
}

func (t *tree) put(h *header, in io.Reader) error {
	if len(h.Name) > nameMost || strings.ContainsRune(h.Name, 0) || strings.Contains("/"+h.Name+"/", "/../") {
		return untrusted("not a path below the root")
	}
	dir, base := path.Split(path.Clean("/" + h.Name))
	if base == "" { // the top is root's, and open to all
		return nil
	}
	if gone, some := strings.CutPrefix(base, archive.Whiteout); some {
		return t.remove(dir, base, gone)
	}
	dir, _, err := t.resolve(dir, true)
	if err != nil {
		return err
	}
	name := path.Join(dir, base)
	target := "" // of a hard link
	if h.Typeflag == tar.TypeLink {
		if target, err = t.linked(h.Linkname); err == nil && target == name {
			err = untrusted("a hard link to itself")
		}
		if err != nil {
			return err
		}
	}
	info, err := t.root.Lstat(name)
	kept := err == nil && info.IsDir() && h.Typeflag == tar.TypeDir
	if err == nil && !kept {
		err = t.root.RemoveAll(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.note(name); err != nil {
		return err
	}
	return t.make(h, in, name, target, kept)
}

// make makes name, which is there only if kept: a folder, as h is.
func (t *tree) make(h *header, in io.Reader, name, target string, kept bool) error {
	if int64(h.Uid) < 0 || int64(h.Gid) < 0 || int64(h.Uid) >= math.MaxUint32 || int64(h.Gid) >= math.MaxUint32 {
		return untrusted("owner %d:%d: no user or group has that number", h.Uid, h.Gid)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if !kept {
			if err := t.root.Mkdir(name, 0o700); err != nil {
				return err
			}
		}
		return errors.Join(t.root.Lchown(name, h.Uid, h.Gid), t.root.Chmod(name, fsx.Mode(h.Mode)))
	case tar.TypeReg:
		return t.file(h, in, name)
	case tar.TypeSymlink:
		if h.Linkname == "" || len(h.Linkname) > nameMost || strings.ContainsRune(h.Linkname, 0) {
			return untrusted("a link to %.200q", h.Linkname)
		}
		return errors.Join(t.root.Symlink(h.Linkname, name), t.root.Lchown(name, h.Uid, h.Gid))
	case tar.TypeLink:
		return t.root.Link(target, name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo: // a container has a /dev of its own
		if len(t.left) < maxLeft {
			t.left = append(t.left, name)
		}
		return nil
	}
	return untrusted("a member of the kind %q, which is not known here", h.Typeflag)
}

func (t *tree) file(h *header, in io.Reader, name string) error {
	f, err := t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	if err == nil { // the owner first: a new one loses the bits of set-user-ID
		err = errors.Join(f.Chown(h.Uid, h.Gid), f.Chmod(fsx.Mode(h.Mode)))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return t.root.Chtimes(name, h.ModTime, h.ModTime)
}

// remove does what the whiteout base in dir says: it takes away gone, or what lower layers have in dir.
func (t *tree) remove(dir, base, gone string) error {
	dir, there, err := t.resolve(dir, false)
	switch {
	case gone == "" || gone == "." || gone == "..":
		return untrusted("it removes nothing that has a name")
	case err != nil || !there:
		return err
	case base == archive.Opaque:
		return t.hide(dir)
	}
	return t.root.RemoveAll(path.Join(dir, gone))
}

// hide takes away what lower layers have in the folder dir. What this one has put stays, wherever in it the whiteout stands.
func (t *tree) hide(dir string) error {
	list, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		switch {
		case !t.fresh[name]:
			err = t.root.RemoveAll(name)
		case e.IsDir():
			err = t.hide(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// note notes that name, and what is above it, is this layer's.
func (t *tree) note(name string) error {
	for ; name != "." && !t.fresh[name]; name = path.Dir(name) {
		const each = 64 // bytes, about, of one in the map
		if t.held += each + int64(len(name)); t.held > freshMost {
			return untrusted("%w: too many names", archive.ErrBomb)
		}
		t.fresh[name] = true
	}
	return nil
}

// linked returns the file that a hard link to text means.
func (t *tree) linked(text string) (string, error) {
	dir, base := path.Split(path.Clean("/" + text))
	dir, there, err := t.resolve(dir, false)
	if err != nil {
		return "", err
	}
	name := path.Join(dir, base)
	if there {
		if info, err := t.root.Lstat(name); err == nil && !info.IsDir() {
			return name, nil
		}
	}
	return "", untrusted("a hard link to %.200q, which is not a file of this image", text)
}

// resolve returns the folder that dir is once all links in it were followed as in a container, where "/" is the
// root: "." is the root itself. Missing folders are made when create is set; else there is false when one is missing.
func (t *tree) resolve(dir string, create bool) (_ string, there bool, _ error) {
	at, todo, links := ".", strings.Split(dir, "/"), 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		info, err := t.root.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if !create {
				return "", false, nil
			}
			if err := errors.Join(t.root.Mkdir(next, folderMode), t.root.Chmod(next, folderMode)); err != nil {
				return "", false, err
			}
		case err != nil:
			return "", false, err
		case info.Mode().Type() == fs.ModeSymlink:
			to, err := t.root.Readlink(next)
			if links++; err == nil && links > linksMost {
				err = untrusted("more than %d links", linksMost)
			}
			if err != nil {
				return "", false, err
			}
			if path.IsAbs(to) {
				at = "."
			}
			todo = append(strings.Split(to, "/"), todo...)
			continue
		case !info.IsDir():
			return "", false, untrusted("%.200q, above it, is not a folder", next)
		}
		at = next
	}
	return at, true, nil
}
