package follow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// seen is a file of a watched directory as it was last looked at.
type seen struct {
	size  int64
	mtime time.Time
	done  bool // it was opened as it is now
}

type watcher struct{ seen map[string]seen }

// watch looks at what appeared in the watched directories. A file counts once it has
// not changed between two looks.
func (f *Follower) watch(ctx context.Context, w *watcher) {
	here := map[string]bool{}
	for _, pattern := range f.o.Node.State().Settings.Watch {
		for _, path := range volumeFiles(pattern) {
			here[path] = true
			if ctx.Err() != nil {
				return
			}
			if w.unchanged(path) && !f.offer(ctx, path) {
				delete(w.seen, path) // it may be readable later
			}
		}
	}
	for path := range w.seen {
		if !here[path] {
			delete(w.seen, path)
		}
	}
}

// unchanged reports whether the file at path is new and was the same at two looks.
func (w *watcher) unchanged(path string) bool {
	size, newest, ok := signature(path)
	if !ok {
		return false
	}
	now := seen{size: size, mtime: newest}
	old, known := w.seen[path]
	if !known || old.size != now.size || !old.mtime.Equal(now.mtime) {
		w.seen[path] = now
		return false
	}
	if old.done {
		return false
	}
	old.done = true
	w.seen[path] = old
	return true
}

// offer installs from the volume or depot at path. It reports whether
// that was decided, for good or bad.
func (f *Follower) offer(ctx context.Context, path string) bool {
	var r nodeapi.Report
	src, done, err := OpenSource(path)
	if err == nil {
		r, err = f.o.Install(ctx, src)
		err = errors.Join(err, done())
	}
	f.noteLook(path, r.Outcome, err)
	if err == nil {
		return true
	}
	switch errs.KindOf(err) {
	case errs.Internal, errs.Unavailable, errs.Cancelled:
		return false
	}
	return true
}

// volumeFiles returns what may be a volume or depot among what pattern matches and,
// for a directory, what it holds.
func volumeFiles(pattern string) []string {
	dirs, err := filepath.Glob(pattern)
	if err != nil {
		return nil
	}
	var list []string
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err == nil {
			list = append(list, dir)
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if name := e.Name(); strings.HasSuffix(name, ".volume") || strings.HasSuffix(name, ".volume.001") {
				list = append(list, filepath.Join(dir, name))
			}
		}
	}
	return list
}

// signature returns what tells that the volume or depot at path has changed: the size of all its
// parts together, and when the newest of them was written. ok is false when it is gone.
func signature(path string) (size int64, newest time.Time, ok bool) {
	paths := []string{path}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		paths = []string{filepath.Join(path, "trust", "timestamp.json")}
	} else if base, split := strings.CutSuffix(path, ".001"); split {
		if parts, err := filepath.Glob(base + ".*"); err == nil {
			paths = parts
		}
	}
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil {
			ok = true
			size += info.Size()
			if info.ModTime().After(newest) {
				newest = info.ModTime()
			}
		}
	}
	return size, newest, ok
}
