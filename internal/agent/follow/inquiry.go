package follow

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// inquiryTime is how long one look waits for all that it asks: what answers later is used at the next.
const inquiryTime = 3 * time.Second

// inquiry asks folders that may never answer, each in a goroutine of its own. One that does not answer
// is not asked again before that goroutine has returned. The zero value works.
type inquiry[T any] struct {
	wait time.Duration // 0 = inquiryTime
	out  map[string]chan answer[T]
}

type answer[T any] struct {
	says T
	took time.Duration
}

// ask returns what look says of the folders dirs; of those that say nothing it returns nothing. took is
// how long the slowest of the others had to be waited for.
func (q *inquiry[T]) ask(ctx context.Context, dirs []string, look func(dir string) T) (found map[string]T, took time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(q.wait, inquiryTime))
	defer cancel()
	found = map[string]T{}
	for dir, c := range q.out {
		select {
		case a := <-c:
			found[dir] = a.says
			delete(q.out, dir)
		default:
		}
	}
	fresh := map[string]chan answer[T]{}
	for _, dir := range dirs {
		if _, late := found[dir]; late || q.out[dir] != nil || fresh[dir] != nil {
			continue
		}
		c, began := make(chan answer[T], 1), time.Now()
		fresh[dir] = c
		go func() {
			says := look(dir)
			c <- answer[T]{says, time.Since(began)}
		}()
	}
	for dir, c := range fresh {
		if a, ok := heard(ctx, c); ok {
			found[dir], took = a.says, max(took, a.took)
			continue
		}
		if q.out == nil {
			q.out = map[string]chan answer[T]{}
		}
		q.out[dir] = c
	}
	return found, took
}

// heard returns what comes before ctx ends, or has come by then.
func heard[T any](ctx context.Context, c <-chan T) (said T, ok bool) {
	select {
	case said = <-c:
		return said, true
	case <-ctx.Done():
	}
	select {
	case said = <-c:
		return said, true
	default:
		return said, false
	}
}

// silence is the error of a folder that does not answer.
func silence(dir string) error {
	return errs.Hint(errs.Errorf(errs.Unavailable, "%s says nothing", dir), "is it on a network folder whose server is gone?")
}

// expand returns the folders that pattern matches, of those that answer, and why there may be more.
func (w *watcher) expand(ctx context.Context, pattern string) (dirs []string, err error) {
	dirs = []string{"."}
	if filepath.IsAbs(pattern) {
		dirs[0] = "/"
	}
	for _, part := range strings.Split(pattern, "/") {
		switch {
		case part == "":
			continue
		case !strings.ContainsAny(part, `*?[\`):
			for i := range dirs {
				dirs[i] = filepath.Join(dirs[i], part)
			}
			continue
		}
		if _, err := filepath.Match(part, ""); err != nil {
			return nil, errs.E(errs.Invalid, err)
		}
		found, took := w.matching(part).ask(ctx, dirs, func(dir string) []string { return matches(dir, part) })
		w.cost = max(w.cost, took)
		var next []string
		for _, dir := range dirs {
			names, ok := found[dir]
			if !ok {
				err = silence(dir)
			}
			slices.Sort(names)
			for _, name := range names {
				next = append(next, filepath.Join(dir, name))
			}
		}
		if dirs = next; len(dirs) > maxFolders {
			dirs, err = dirs[:maxFolders], errs.Errorf(errs.Invalid, "more than %d folders: the others are not looked at", maxFolders)
		}
	}
	return dirs, err
}

// matching returns the inquiry for the names that match part of a pattern: two patterns may ask the same
// folder.
func (w *watcher) matching(part string) *inquiry[[]string] {
	if w.names[part] == nil {
		w.names[part] = &inquiry[[]string]{}
	}
	return w.names[part]
}

// matches returns the names in dir that match pattern, or the first of very many. It may never return.
func matches(dir, pattern string) (list []string) {
	_ = fsx.ReadNames(dir, func(names []string) error {
		for _, name := range names {
			if ok, _ := filepath.Match(pattern, name); ok {
				list = append(list, name)
			}
		}
		if len(list) > maxFolders {
			return fsx.ErrTooLong
		}
		return nil
	}) // what cannot be read matches nothing
	return list
}
