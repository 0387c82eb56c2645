package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// lockFile in a repository's directory is held while changes are written.
const lockFile = "lock"

// Dir keeps the files of a repository in directory path, which the first Commit makes. A Commit
// holds a flock on the file "lock" there; the wait for it ends with ctx (errs.Conflict).
//
// A revision is the list of names with inode, time and size of the files whose name does not tell
// their content: the timestamp and what is staged. Nothing is opened for it. Files with a number
// are written once and then stay.
func Dir(path string, f fsx.FS) Files { return dir{path, f} }

type dir struct {
	path string
	fs   fsx.FS
}

func (d dir) List(context.Context) ([]string, Revision, error) {
	h := digest.New()
	names, err := d.list(h, "")
	if err != nil {
		return nil, "", err
	}
	staged, err := d.list(h, StagedDir)
	if err != nil {
		return nil, "", err
	}
	return append(names, staged...), Revision(h.Digest()), nil
}

// list returns the names in folder, and writes to h what tells their content.
func (d dir) list(h digest.Hasher, folder string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.path, folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".json") || strings.HasPrefix(name, ".") {
			continue
		}
		names = append(names, folder+name)
		fmt.Fprintf(h, "%q\n", folder+name)
		if folder == "" && name != timestampFile {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed a moment ago: the name alone makes another revision than without it
		}
		if err != nil {
			return nil, err
		}
		inode := uint64(0)
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = s.Ino
		}
		fmt.Fprintf(h, "%d %d %d\n", inode, info.ModTime().UnixNano(), info.Size())
	}
	return names, nil
}

func (d dir) Read(_ context.Context, name string, limit int64) ([]byte, error) {
	if !fileName(name) {
		return nil, fmt.Errorf("metadata %.100q: %w", name, fs.ErrNotExist)
	}
	return fsx.ReadFile(filepath.Join(d.path, name), limit)
}

// fileName reports whether name is one that Files has.
func fileName(name string) bool {
	name = strings.TrimPrefix(name, StagedDir)
	return strings.HasSuffix(name, ".json") && name[0] != '.' && !strings.ContainsAny(name, "/\\\x00") && len(name) <= 255
}

func (d dir) Commit(ctx context.Context, base Revision, changes []Change) (Revision, error) {
	if err := d.fs.Mkdir(d.path, 0o755); err != nil {
		return "", err
	}
	lock, err := trust.WaitLock(ctx, filepath.Join(d.path, lockFile))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Unlock() }() // the kernel frees it in any case
	_, now, err := d.List(ctx)
	if err != nil {
		return "", err
	}
	if now != base {
		return "", errs.E(errs.Conflict, ErrMoved)
	}
	for _, c := range changes {
		if err := d.change(c); err != nil {
			return "", err
		}
	}
	_, now, err = d.List(ctx)
	return now, err
}

func (d dir) change(c Change) error {
	if !fileName(c.Name) {
		return errs.Errorf(errs.Internal, "metadata %.100q: not a name of metadata", c.Name)
	}
	path := filepath.Join(d.path, c.Name)
	if c.Data == nil {
		return d.fs.Remove(path)
	}
	if strings.HasPrefix(c.Name, StagedDir) {
		if err := d.fs.Mkdir(filepath.Dir(path), 0o755); err != nil {
			return err
		}
	}
	return d.fs.WriteFile(path, c.Data, 0o644)
}
