package dir

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"overland/internal/digest"
	"overland/internal/fsx"
)

// room returns an error (errs.Unavailable) when the disk cannot take n more bytes and keep the
// reserve. Beginnings of blobs that nobody is fetching give way, the oldest first: whoever chooses what is fetched, and
// from where, could leave any number of them.
func (s *Store) room(n int64) error {
	err := fsx.Room(s.dir, n, max(s.reserve, 0))
	if !errors.Is(err, fsx.ErrNoRoom) {
		return err
	}
	list, size := s.beginnings()
	if free, ferr := fsx.Free(s.dir); ferr != nil || n > free+size-max(s.reserve, 0) {
		return err // nobody gives way in vain
	}
	for _, one := range list {
		if rerr := s.sweep(func(e fs.DirEntry) bool { return e.Name() == one.Name() }); rerr != nil {
			return errors.Join(err, rerr)
		}
		if err = fsx.Room(s.dir, n, max(s.reserve, 0)); !errors.Is(err, fsx.ErrNoRoom) {
			return err
		}
	}
	return err
}

// beginnings returns the partial blobs, the one that was written longest ago first. Uploads under other names
// are somebody's, who bounds them. size is how many bytes they have.
func (s *Store) beginnings() (list []fs.DirEntry, size int64) {
	entries, _ := os.ReadDir(s.ingest("")) // none when it cannot be read
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), partSuffix)
		if _, err := digest.FromHex(id); !ok || err != nil {
			continue
		}
		if info, err := e.Info(); err == nil {
			list = append(list, e)
			size += info.Size()
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int {
		one, err := a.Info()
		other, oerr := b.Info()
		if err != nil || oerr != nil {
			return 0 // removed meanwhile
		}
		return one.ModTime().Compare(other.ModTime())
	})
	return list, size
}

// looks sees to it that a writer leaves the reserve: of one that has not said how much comes, and of many at once, nobody
// knows before.
type looks struct {
	room func(n int64) error
	left int64 // bytes that may be written before the disk is looked at again
}

// before is called before n more bytes are written.
func (l *looks) before(n int) error {
	if l.left -= int64(n); l.left >= 0 || l.room == nil {
		return nil
	}
	l.left = unlooked
	return l.room(int64(n))
}
