package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// change is what has become of a list.
type change int

const (
	unchanged change = iota
	updated
	removed
)

// merge puts the records of another network cache, newest first, where their time says among those of key that are here.
// With drop set, records that came from another one before and are not among these go. What was put here always stays.
func (s *Shelf) merge(ctx context.Context, key string, theirs []Record, drop bool) (change, error) {
	return s.edit(ctx, key, func(list []Record) []Record {
		if drop {
			list = slices.DeleteFunc(list, func(r Record) bool { return r.Upstream != "" && !slices.ContainsFunc(theirs, r.same) })
		}
		for _, r := range slices.Backward(theirs) {
			if slices.ContainsFunc(list, r.same) {
				continue
			}
			at := slices.IndexFunc(list, func(o Record) bool { return !o.Time.After(r.Time) })
			if at < 0 {
				at = len(list)
			}
			list = slices.Insert(list, at, r)
		}
		return fitting(list)
	})
}

// same reports whether o is the same entry.
func (r Record) same(o Record) bool { return o.Metadata == r.Metadata && o.Signature == r.Signature }

// fitting returns list without the oldest of those that came from elsewhere, when it is longer than a list may be.
func fitting(list []Record) []Record {
	for {
		b, err := lines(list)
		if err != nil || len(b) <= listLimit {
			return list
		}
		last := -1
		for i, r := range list {
			if r.Upstream != "" {
				last = i
			}
		}
		if last < 0 {
			return list
		}
		list = slices.Delete(list, last, last+1)
	}
}

// prune drops the entries of key whose blobs are not here.
func (s *Shelf) prune(ctx context.Context, key string) (change, error) {
	return s.edit(ctx, key, func(list []Record) []Record {
		return slices.DeleteFunc(list, func(r Record) bool {
			_, _, err := s.Resolve(r.blob())
			return errs.KindOf(err) == errs.NotFound
		})
	})
}

// edit replaces the list of key by what do makes of it, whole or not at all. A list of nothing is no list.
func (s *Shelf) edit(ctx context.Context, key string, do func([]Record) []Record) (change, error) {
	path := s.listPath(key)
	if err := s.fs.Mkdir(filepath.Dir(path), dirMode); err != nil {
		return unchanged, err
	}
	lock, err := fsx.WaitLock(filepath.Join(filepath.Dir(path), "lock"))
	if err != nil {
		return unchanged, err
	}
	defer lock.Unlock()
	if err := ctx.Err(); err != nil {
		return unchanged, err
	}
	list, _, err := s.read(key)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return unchanged, err
	}
	had := len(list) > 0
	old, err := lines(list)
	if err != nil {
		return unchanged, err
	}
	list = do(list)
	whole, err := lines(list)
	switch {
	case err != nil || bytes.Equal(old, whole):
		return unchanged, err
	case len(list) == 0 && had:
		return removed, s.fs.Remove(path)
	}
	if err := s.fs.WriteFile(path, whole, fileMode); err != nil {
		return unchanged, fmt.Errorf("entries of key %q: %w", key, full(err))
	}
	return updated, nil
}

// Keys calls visit for each key that has entries, in no particular order, and stops at the first error.
func (s *Shelf) Keys(ctx context.Context, visit func(key string) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, "dir"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "lock" {
			return errors.Join(err, ctx.Err())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed meanwhile
			}
			return err
		}
		for line := range bytes.SplitAfterSeq(b, []byte("\n")) {
			if r, ok := parseRecord(line); ok && s.listPath(r.Key) == path {
				return visit(r.Key)
			}
		}
		return nil
	})
}
