package session

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sort"
	"sync"

	"overland/internal/fsx"
	"overland/internal/lockfile"
)

// journal is what a session has recorded so far, for the next one if this one is killed or its
// command fails: lines of a lock, appended without a wait for the disk. What it says is believed
// only of entries with a proof, which never change, and whose blobs the depot has: those were
// checked before they were stored.
type journal struct {
	mu sync.Mutex
	f  *os.File
}

// openJournal opens the file path, and returns the entries in it that
// lock lacks. Only those are kept.
func openJournal(path string, lock *lockfile.Lock) (*journal, *lockfile.Lock, error) {
	const mode = 0o600
	b, err := readJournal(path)
	if err != nil {
		return nil, nil, err
	}
	// The last line may have been cut off by a power failure, and a malformed one ends the list:
	// the longest prefix that is a lock counts.
	lines := bytes.SplitAfter(b[:bytes.LastIndexByte(b, '\n')+1], []byte("\n"))
	old := &lockfile.Lock{}
	sort.Search(len(lines), func(bad int) bool {
		l, err := lockfile.Parse(bytes.NewReader(bytes.Join(lines[:bad+1], nil)), 0)
		if err == nil {
			old = l
		}
		return err != nil
	})
	old.Entries = slices.DeleteFunc(old.Entries, func(e lockfile.Entry) bool {
		_, locked := lock.Find(e.Protocol, e.Key)
		return locked
	})
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return nil, nil, err
	}
	if err := old.Write(f); err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return &journal{f: f}, old, nil
}

// readJournal returns the content of path; nil if there is no such file, or
// it is longer than a lock can be.
func readJournal(path string) ([]byte, error) {
	b, err := fsx.ReadFile(path, lockfile.Limit)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fsx.ErrTooLong) {
		return nil, nil
	}
	return b, err
}

// add appends e. A failed write only costs another fetch later.
func (j *journal) add(e lockfile.Entry) {
	var b bytes.Buffer
	if err := (&lockfile.Lock{Entries: []lockfile.Entry{e}}).Write(&b); err != nil {
		return
	}
	_, line, _ := bytes.Cut(b.Bytes(), []byte("\n"))
	j.mu.Lock()
	defer j.mu.Unlock()
	_, _ = j.f.Write(line)
}
