package holdings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/progress"
	"overland/internal/store"
)

// Options say what Collect removes.
type Options struct {
	Older  time.Duration // what was written or wanted within it stays; 0 = nothing stays for that
	Locks  []string      // further lock files, whose blobs stay
	DryRun bool          // nothing is removed
}

// compiling is how long the compiled packages of an application stay for certain: a build that is
// under way has used them since.
const compiling = time.Hour

// Freed is what Collect removed, or would remove.
type Freed struct {
	Blobs    int
	Bytes    int64             // of those blobs
	Compiled int64             // bytes of compilers' caches
	Results  int               // remembered results of builds whose blobs are not there
	Kept     map[Keeper]Amount // what stays, by what needs it
	Gone     []string          // lock files that were noted and are not there any more
	Untagged []string          // tags of releases that are not signed
}

// Amount is a number of blobs and their bytes.
type Amount struct {
	Blobs int
	Bytes int64
}

// Collect removes the blobs that nothing names and that nobody has wanted for o.Older, and the
// compilers' caches that nobody used for as long. Others may build, record and serve meanwhile. One
// that is cut off has removed some of it, and the next one removes the rest.
func (h *Holdings) Collect(ctx context.Context, o Options) (*Freed, error) {
	f, err := h.collect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("collect what nothing needs in %s: %w", h.Dir, err)
	}
	return f, nil
}

func (h *Holdings) collect(ctx context.Context, o Options) (*Freed, error) {
	asked := time.Now() // the machine's time, as the depot's files have it
	since := asked.Add(-o.Older)
	n, err := h.named(ctx, o.Locks)
	if err != nil {
		return nil, err
	}
	f := &Freed{Kept: map[Keeper]Amount{}, Gone: n.gone, Untagged: n.stale}
	if !o.DryRun {
		for _, tag := range n.stale {
			if err := h.Depot.Untag(ctx, tag); err != nil {
				return nil, err
			}
		}
		if err := h.forget(n.gone); err != nil {
			return nil, err
		}
	}
	removed := map[digest.Digest]bool{}
	err = h.Depot.List(ctx, func(d digest.Digest, size int64) error {
		by, needed := n.by[d]
		if !needed {
			gone, err := h.retire(d, since, o.DryRun)
			if err != nil {
				return err
			}
			if gone {
				removed[d] = true
				f.Blobs++
				f.Bytes += size
				if !o.DryRun {
					h.show(f)
				}
				return nil
			}
			by = KeptRecent
		}
		a := f.Kept[by]
		f.Kept[by] = Amount{a.Blobs + 1, a.Bytes + size}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !o.DryRun {
		const left = 24 * time.Hour
		if err := h.Depot.Tidy(ctx, max(o.Older, left)); err != nil {
			return nil, err
		}
	}
	if err := h.results(ctx, f, removed, o.DryRun); err != nil {
		return nil, err
	}
	return f, h.compiled(f, asked.Add(-max(o.Older, compiling)), o.DryRun)
}

func (h *Holdings) show(f *Freed) {
	if h.Progress != nil {
		h.Progress(progress.Event{Step: "free", What: progress.Count(f.Blobs, "blob", "blobs"), Note: progress.Bytes(f.Bytes)})
	}
}

// retire removes blob d unless it was wanted after since; a dry run only looks.
func (h *Holdings) retire(d digest.Digest, since time.Time, dry bool) (bool, error) {
	if dry {
		return h.older(d, since), nil
	}
	return h.Depot.Retire(d, since)
}

// results removes the records of builds whose results are not in the depot.
func (h *Holdings) results(ctx context.Context, f *Freed, removed map[digest.Digest]bool, dry bool) error {
	const limit = 64 << 10
	return walk(home.Builds.In(h.Dir), func(path string, _ fs.FileInfo) error {
		if filepath.Ext(path) != ".json" {
			return ctx.Err()
		}
		var record struct {
			Digest digest.Digest `json:"digest"`
		}
		b, err := fsx.ReadFile(path, limit)
		if err == nil {
			err = json.Unmarshal(b, &record)
		}
		if err != nil || removed[record.Digest] {
			f.Results++
		} else if _, err := h.Depot.Stat(ctx, record.Digest); errors.Is(err, store.ErrNotFound) {
			f.Results++
		} else {
			return ctx.Err()
		}
		if dry {
			return ctx.Err()
		}
		return h.FS.Remove(path)
	})
}

// compiled removes the compilers' caches that nobody has used after since. Each is rebuilt when its
// application is built again.
func (h *Holdings) compiled(f *Freed, since time.Time, dry bool) error {
	for _, place := range []home.Place{home.GoCache, home.CommandCache, home.GoSeeds} {
		folders, err := os.ReadDir(place.In(h.Dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range folders {
			path := filepath.Join(place.In(h.Dir), e.Name())
			if !e.IsDir() || path == home.GoSeeds.In(h.Dir) {
				continue
			}
			if err := h.compiledIn(f, path, since, dry); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Holdings) compiledIn(f *Freed, dir string, since time.Time, dry bool) error {
	var size int64
	var last time.Time
	err := walk(dir, func(_ string, info fs.FileInfo) error {
		size += info.Size()
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
		return nil
	})
	if err != nil || last.After(since) {
		return err
	}
	if lock, err := fsx.TryLock(dir + ".lock"); errors.Is(err, fsx.ErrLocked) {
		return nil // a build is copying it
	} else if err == nil {
		defer func() { _ = lock.Unlock() }() // held by the open file alone
	}
	f.Compiled += size
	if dry {
		return nil
	}
	// A build that begins now finds no folder and makes its own.
	away := filepath.Join(filepath.Dir(dir), "."+strings.TrimPrefix(filepath.Base(dir), ".")+".old")
	if err := fsx.RemoveTree(away); err != nil {
		return err
	}
	if err := os.Rename(dir, away); err != nil {
		return err
	}
	return fsx.RemoveTree(away)
}

// walk calls visit for each file below dir; what is not there, or goes away meanwhile, is passed over.
func walk(dir string, visit func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(path, info)
	})
}
