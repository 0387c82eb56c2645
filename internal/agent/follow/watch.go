package follow

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"overland/internal/agent/stage"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/health"
	"overland/internal/nodeapi"
	"overland/internal/volume"
)

const (
	firstPart = ".001"
	// maxFiles is how many volumes of one folder are looked at: anybody may fill a folder.
	maxFiles = 256
	// maxFolders is how many folders of one pattern are looked at: some are made by anybody too.
	maxFolders = 256
	// restShare bounds what looking costs: after a look that took d the next comes d*restShare later.
	restShare = 20
)

// watchLoop looks at the watched directories again and again, until ctx ends. A look costs what
// others put there, so the pause grows with it.
func (f *Follower) watchLoop(ctx context.Context) {
	w := &watcher{seen: map[string]seen{}}
	watch := time.NewTimer(0)
	defer watch.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wakeWatch:
			w.seen = map[string]seen{}
			watch.Reset(0)
		case <-watch.C:
			if err := f.o.Resume(ctx); err != nil && ctx.Err() == nil { // what could not be prepared before
				f.o.Log.Warn("the node's generation does not run whole", "error", err)
			}
			began := time.Now()
			list := f.list()
			cost := time.Since(began)
			f.watch(ctx, w, list)
			watch.Reset(max(f.o.Watch, restShare*cost))
		}
	}
}

// seen is a file of a watched directory as it was last looked at.
type seen struct {
	size  int64
	mtime time.Time
	done  bool // it was opened as it is now
}

type watcher struct{ seen map[string]seen }

// list returns what may be a volume or a depot in the watched directories.
func (f *Follower) list() (list []string) {
	for _, pattern := range f.o.Node.State().Settings.Watch {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		if len(dirs) > maxFolders {
			dirs, err = dirs[:maxFolders], errs.Errorf(errs.Invalid, "more than %d folders: the others are not looked at", maxFolders)
		}
		if f.troubles.Report("pattern "+pattern, err) == health.Began {
			f.o.Log.Warn("not all watched folders are read", "pattern", pattern, "error", err)
		}
		for _, dir := range dirs {
			found, err := volumesIn(dir)
			if f.troubles.Report(dir, err) == health.Began {
				f.o.Log.Warn("a watched folder is not read whole", "folder", dir, "error", err)
			}
			list = append(list, found...)
		}
	}
	return list
}

// watch looks at the files of list. One counts once it has not changed between two looks.
func (f *Follower) watch(ctx context.Context, w *watcher, list []string) {
	here := map[string]bool{}
	for _, path := range list {
		here[path] = true
		if ctx.Err() != nil {
			return
		}
		if w.unchanged(path) && !f.offer(ctx, path) {
			delete(w.seen, path) // it may be readable later
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
	src, done, err := openFound(path)
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

// openFound opens what stands in a watched directory, where anybody may have put it: a link is not
// followed, nothing but a regular file or a depot is opened, and what says nothing is left.
func openFound(path string) (stage.Source, func() error, error) {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		d, err := fetch.DirFound(path)
		return d, func() error { return nil }, err
	}
	v, err := volume.OpenFound(path)
	if err != nil {
		return nil, nil, err
	}
	return v, v.Close, nil
}

// volumesIn returns what may be a volume or a depot in the folder dir, or dir itself when it is a
// depot. With an error it returns what it found before.
func volumesIn(dir string) (list []string, err error) {
	if info, err := os.Lstat(filepath.Join(dir, "oci-layout")); err == nil && info.Mode().IsRegular() {
		return []string{dir}, nil
	}
	err = fsx.ReadNames(dir, func(names []string) error {
		for _, name := range names {
			if !strings.HasSuffix(name, ".volume") && !strings.HasSuffix(name, ".volume"+firstPart) {
				continue
			}
			if len(list) == maxFiles {
				return errs.Errorf(errs.Invalid, "more than %d volumes: the others are not looked at", maxFiles)
			}
			list = append(list, filepath.Join(dir, name))
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = nil // a stick that was pulled out; a file among the folders that a pattern matches
	}
	return list, err
}

// signature returns what tells that the volume or depot at path has changed: the size of all its
// parts together, and when the newest of them was written. ok is false when it is gone.
func signature(path string) (size int64, newest time.Time, ok bool) {
	add := func(path string) bool {
		info, err := os.Lstat(path)
		if err != nil {
			return false
		}
		ok = true
		size += info.Size()
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		return true
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		if !add(filepath.Join(path, "trust", "timestamp.json")) {
			add(path)
		}
		return size, newest, ok
	}
	if base, split := strings.CutSuffix(path, firstPart); split {
		add(base + volume.PartsSuffix)
		for i := 1; i < volume.MaxParts && add(volume.PartName(base, i)); i++ {
		}
	}
	add(path)
	return size, newest, ok
}
