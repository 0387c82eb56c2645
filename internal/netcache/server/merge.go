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
	updated          // it has new entries
	removed          // it lost entries, all or some, and has no new ones: what a SlapOS proxy, which keeps one for each key, calls so
)

// merge inserts the records of another network cache, which come newest first, into the list of key
// by their time. With drop set, records that came from elsewhere and are not among these are
// dropped. What was put here always stays.
func (s *Shelf) merge(ctx context.Context, key string, theirs []Record, drop bool) (change, error) {
	return s.edit(ctx, key, func(list []Record) []Record {
		if drop {
			now := ids(theirs)
			list = slices.DeleteFunc(list, func(r Record) bool { return r.Upstream != "" && !now[r.id()] })
		}
		return fitting(merged(list, theirs))
	})
}

// merged returns list with the records of theirs that it lacks. Both may be as long as an upstream
// makes them, so no step compares each record of one with each of the other.
func merged(list, theirs []Record) []Record {
	have := ids(list)
	more := slices.DeleteFunc(slices.Clone(theirs), func(r Record) bool {
		there := have[r.id()]
		have[r.id()] = true
		return there
	})
	slices.SortStableFunc(more, func(a, b Record) int { return b.Time.Compare(a.Time) })
	all := make([]Record, 0, len(list)+len(more))
	for _, r := range more {
		for len(list) > 0 && list[0].Time.After(r.Time) {
			all, list = append(all, list[0]), list[1:]
		}
		all = append(all, r)
	}
	return append(all, list...)
}

// id is what makes two records the same entry.
func (r Record) id() [2]string { return [2]string{r.Metadata, r.Signature} }

// same reports whether o is the same entry.
func (r Record) same(o Record) bool { return r.id() == o.id() }

func ids(list []Record) map[[2]string]bool {
	m := make(map[[2]string]bool, len(list))
	for _, r := range list {
		m[r.id()] = true
	}
	return m
}

// fitting returns list, shortened to the limit by dropping the oldest
// records that came from elsewhere.
func fitting(list []Record) []Record {
	sizes, size := make([]int, len(list)), 0
	for i, r := range list {
		line, err := r.line()
		if err != nil {
			return list // writing it will report this error
		}
		sizes[i] = len(line)
		size += len(line)
	}
	for i, r := range slices.Backward(list) {
		if size > listLimit && r.Upstream != "" {
			size -= sizes[i]
			sizes[i] = 0
		}
	}
	kept := list[:0]
	for i, r := range list {
		if sizes[i] > 0 {
			kept = append(kept, r)
		}
	}
	return kept
}

// prune drops the entries of key whose blobs are not here.
func (s *Shelf) prune(ctx context.Context, key string) (change, error) {
	return s.edit(ctx, key, func(list []Record) []Record {
		return slices.DeleteFunc(list, func(r Record) bool {
			_, _, err := s.Resolve(ctx, r.blob())
			return errs.KindOf(err) == errs.NotFound
		})
	})
}

// edit replaces the list of key by what do returns for it, whole or not at
// all. An empty list is removed.
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
	had, before := len(list), ids(list)
	old, err := lines(list)
	if err != nil {
		return unchanged, err
	}
	list = do(list)
	whole, err := lines(list)
	switch {
	case err != nil || bytes.Equal(old, whole):
		return unchanged, err
	case len(list) == 0 && had > 0:
		return removed, s.fs.Remove(path)
	}
	if err := s.fs.WriteFile(path, whole, fileMode); err != nil {
		return unchanged, fmt.Errorf("entries of key %q: %w", key, fsx.Full(err))
	}
	if len(list) < had && !slices.ContainsFunc(list, func(r Record) bool { return !before[r.id()] }) {
		return removed, nil
	}
	return updated, nil
}

// Keys calls visit for each key that has entries, in no particular
// order, and stops at the first error.
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
