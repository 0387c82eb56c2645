package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"overland/internal/digest"
	"overland/internal/fsx"
)

// output is a volume being written: one file, or parts of split bytes each.
// Nothing has its name before commit.
type output struct {
	path  string
	split int64 // 0 = one file
	fs    fsx.FS
	files []*fsx.Pending
	off   int64
	done  fsx.Behind // of the last file
}

func newOutput(path string, size int64, o Options) (*output, error) {
	w := &output{path: path, split: o.Split, fs: o.FS}
	if w.split < 0 || (w.split > 0 && w.split < MinPart) {
		return nil, invalid("parts of %d bytes: at least %d", w.split, MinPart)
	}
	if w.split > 0 && (size-1)/w.split+1 > MaxParts {
		return nil, invalid("more than %d parts of %d bytes", MaxParts, w.split)
	}
	if err := w.sweep(); err != nil {
		return nil, err
	}
	return w, fsx.Room(filepath.Dir(path), size, 0)
}

// Write appends p, beginning a new part where the last one is full.
func (w *output) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		f, n, err := w.room()
		if err != nil {
			return done, err
		}
		n, err = f.Write(p[done : done+min(n, len(p)-done)])
		done += n
		w.off += int64(n)
		if err != nil {
			return done, err
		}
		w.done.At(w.off - int64(len(w.files)-1)*w.split)
	}
	return done, nil
}

// room returns the file that the next byte goes to and how many bytes it can take.
func (w *output) room() (*fsx.Pending, int, error) {
	const plenty = 1 << 30
	at := 0
	n := int64(plenty)
	if w.split > 0 {
		at = int(w.off / w.split)
		n = w.split - w.off%w.split
	}
	if at == len(w.files) {
		if at == MaxParts {
			return nil, 0, invalid("more than %d parts of %d bytes", MaxParts, w.split)
		}
		f, err := w.fs.Create(w.name(at), 0o644)
		if err != nil {
			return nil, 0, err
		}
		w.files = append(w.files, f)
		w.done = fsx.Behind{File: f.File.File, Written: true}
		// Held until the file has its name, or its writer is dead: see sweep.
		if err := f.TryLock(); err != nil {
			return nil, 0, err
		}
	}
	return w.files[at], int(min(n, plenty)), nil
}

// patch overwrites bytes that were written before; they may lie across two parts.
func (w *output) patch(off int64, p []byte) error {
	for len(p) > 0 {
		at, n := 0, len(p)
		inner := off
		if w.split > 0 {
			at, inner = int(off/w.split), off%w.split
			n = int(min(int64(n), w.split-inner))
		}
		if _, err := w.files[at].WriteAt(p[:n], inner); err != nil {
			return err
		}
		off += int64(n)
		p = p[n:]
	}
	return nil
}

func (w *output) name(part int) string {
	if w.split == 0 {
		return w.path
	}
	return PartName(w.path, part)
}

// commit puts the files in place and returns their paths.
func (w *output) commit(ctx context.Context, buf []byte) ([]string, error) {
	var list manifest
	var paths []string
	for i, f := range w.files {
		paths = append(paths, w.name(i))
		if w.split > 0 {
			h := digest.New()
			if err := copyRange(ctx, h, f, buf); err != nil {
				return nil, err
			}
			list = append(list, h.Digest())
		}
	}
	if w.split == 0 {
		return paths, w.files[0].Commit()
	}
	if err := w.fs.Remove(w.path + PartsSuffix); err != nil {
		return nil, err
	}
	for _, f := range w.files {
		if err := f.Commit(); err != nil {
			return nil, err
		}
	}
	// Parts of an earlier, longer volume: somebody who copies FILE.*
	// would take them for this one's.
	for i := len(w.files); i < MaxParts; i++ {
		if _, err := os.Lstat(w.name(i)); errors.Is(err, os.ErrNotExist) {
			break
		}
		if err := w.fs.Remove(w.name(i)); err != nil {
			return nil, err
		}
	}
	return paths, w.fs.WriteFile(w.path+PartsSuffix, list.marshal(w.path), 0o644)
}

func (w *output) discard() {
	for _, f := range w.files {
		f.Discard()
	}
}

// sweep removes what writers of the same volume left when they were killed:
// a volume's worth of disk each.
func (w *output) sweep() error {
	dir, base := filepath.Split(w.path)
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := cutTemp(e.Name())
		if !ok || (name != base && trimPart(name) != base) {
			continue
		}
		f, err := w.fs.OpenFile(dir+e.Name(), os.O_RDWR, 0)
		if err != nil {
			continue // another's, or gone meanwhile
		}
		if f.TryLock() == nil {
			err = w.fs.Remove(f.Name())
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRange writes all of r to w.
func copyRange(ctx context.Context, w io.Writer, r io.ReaderAt, buf []byte) error {
	for off := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.ReadAt(buf, off)
		off += int64(n)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read at %d: %w", off, err)
		}
	}
}
