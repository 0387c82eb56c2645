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
	w := &watcher{seen: map[string]seen{}, names: map[string]*inquiry[[]string]{}, held: map[string]*fsx.Patience{}}
	w.folders.wait = f.o.wait
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
			w.cost = 0
			f.watch(ctx, w, f.list(ctx, w))
			watch.Reset(max(f.o.Watch, restShare*w.cost))
		}
	}
}

// seen is a file of a watched directory as it was last looked at.
type seen struct {
	size  int64
	mtime time.Time
	done  bool // it was opened as it is now
}

type watcher struct {
	seen    map[string]seen
	names   map[string]*inquiry[[]string]
	folders inquiry[folder]
	held    map[string]*fsx.Patience // by path: something there has not returned
	cost    time.Duration            // of this look: what was waited for in vain costs nothing
}

// list returns what may be a volume or a depot in the watched directories. One that says nothing is
// left out, and holds up none of the others.
func (f *Follower) list(ctx context.Context, w *watcher) (list []file) {
	var dirs []string
	for _, pattern := range f.o.Node.State().Settings.Watch {
		some, err := w.expand(ctx, pattern)
		if f.troubles.Report("pattern "+pattern, err) == health.Began {
			f.o.Log.Warn("not all watched folders are read", "pattern", pattern, "error", err)
		}
		dirs = append(dirs, some...)
	}
	found, took := w.folders.ask(ctx, dirs, f.o.look)
	w.cost = max(w.cost, took)
	for _, dir := range dirs {
		look, ok := found[dir]
		if !ok {
			look.err = silence(dir)
		}
		if ctx.Err() == nil && f.troubles.Report(dir, look.err) == health.Began {
			f.o.Log.Warn("a watched folder is not read whole", "folder", dir, "error", look.err)
		}
		list = append(list, look.files...)
	}
	return list
}

// watch looks at the files of list. One counts once it has not changed between two looks.
func (f *Follower) watch(ctx context.Context, w *watcher, list []file) {
	here := map[string]bool{}
	for _, one := range list {
		here[one.path] = true
		if ctx.Err() != nil {
			return
		}
		if w.unchanged(one) && !f.offer(ctx, w, one) {
			delete(w.seen, one.path) // it may be readable later
		}
	}
	for path := range w.seen {
		if !here[path] {
			delete(w.seen, path)
		}
	}
}

// unchanged reports whether a file is new and was the same at two looks.
func (w *watcher) unchanged(f file) bool {
	now := seen{size: f.size, mtime: f.newest}
	old, known := w.seen[f.path]
	if !known || old.size != now.size || !old.mtime.Equal(now.mtime) {
		w.seen[f.path] = now
		return false
	}
	if old.done {
		return false
	}
	old.done = true
	w.seen[f.path] = old
	return true
}

// offer installs from the volume or depot that one is. It reports whether that was decided, for good
// or bad.
func (f *Follower) offer(ctx context.Context, w *watcher, one file) bool {
	if p := w.held[one.path]; p != nil && p.Busy() {
		return false // another look would leave another thread behind
	}
	patience := &fsx.Patience{}
	var r nodeapi.Report
	src, done, err := openFound(one, patience)
	if err == nil {
		r, err = f.o.Install(ctx, src)
		err = errors.Join(err, done())
	}
	if delete(w.held, one.path); patience.Busy() {
		w.held[one.path] = patience
	}
	f.noteLook(one.path, r.Outcome, err)
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
func openFound(f file, patience *fsx.Patience) (stage.Source, func() error, error) {
	if f.depot {
		d, err := fetch.DirFound(f.path, patience)
		return d, func() error { return nil }, err
	}
	v, err := volume.OpenFound(f.path, patience)
	if err != nil {
		return nil, nil, err
	}
	return v, v.Close, nil
}

// file is what may be a volume, or a depot.
type file struct {
	path   string
	depot  bool
	size   int64     // of all its parts together
	newest time.Time // when the newest of them was written
}

// folder is what was found in one.
type folder struct {
	files []file
	err   error // why there may be more
}

// lookAt looks at the folder dir. It may never return.
func lookAt(dir string) folder {
	paths, err := volumesIn(dir)
	found := folder{err: err}
	for _, path := range paths {
		if f, ok := fileAt(path); ok {
			found.files = append(found.files, f)
		}
	}
	return found
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

// fileAt returns the volume or depot at path with what tells that it has changed. ok is false when it
// is gone.
func fileAt(path string) (f file, ok bool) {
	f.path = path
	add := func(path string) bool {
		info, err := os.Lstat(path)
		if err != nil {
			return false
		}
		ok = true
		f.size += info.Size()
		if info.ModTime().After(f.newest) {
			f.newest = info.ModTime()
		}
		return true
	}
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		f.depot = true
		if !add(filepath.Join(path, "trust", "timestamp.json")) {
			add(path)
		}
		return f, ok
	}
	if base, split := strings.CutSuffix(path, firstPart); split {
		add(base + volume.PartsSuffix)
		for i := 1; i < volume.MaxParts && add(volume.PartName(base, i)); i++ {
		}
	}
	add(path)
	return f, ok
}
