package pipeline

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"overland/internal/fsx"
	"overland/internal/logfile"
	"overland/internal/progress"
)

// How much of a step's log stays, in bytes: its beginning, and at least one part of its end.
const (
	logHead = 8 << 20
	logPart = 28 << 20 // of two
)

// log is what a step prints: a file with its beginning, a line about what was left out, and its end.
// It is safe for concurrent use, and never fails: a full disk costs the log, not the step.
type log struct {
	mu   sync.Mutex
	path string
	head *os.File
	room int64           // bytes that head may still take
	part int64           // bytes of a part of the end
	tail *logfile.Writer // nil = head has all
	size int64           // bytes after head
}

func openLog(path string, head, part int64) (*log, error) {
	const mode, folder = 0o600, 0o700
	if err := os.MkdirAll(filepath.Dir(path), folder); err != nil {
		return nil, err
	}
	if err := errors.Join(removed(path), removed(tailOf(path)), removed(logfile.Numbered(tailOf(path), 1))); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, mode)
	if err != nil {
		return nil, err
	}
	return &log{path: path, head: f, room: head, part: part}, nil
}

func tailOf(path string) string { return path + ".end" }

func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(int64(len(p)), l.room)
	if n > 0 {
		_, _ = l.head.Write(p[:n])
		l.room -= n
	}
	rest := p[n:]
	if len(rest) == 0 {
		return len(p), nil
	}
	if l.tail == nil {
		w, err := logfile.Open(tailOf(l.path), logfile.Limits{Size: l.part, Keep: 1})
		if err != nil {
			return len(p), nil // see log
		}
		l.tail = w
	}
	l.size += int64(len(rest))
	_, _ = l.tail.Write(rest)
	return len(p), nil
}

// close makes one file of it.
func (l *log) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail == nil {
		return l.head.Close()
	}
	err := l.tail.Close()
	var parts []*os.File
	var kept int64
	for _, name := range []string{logfile.Numbered(tailOf(l.path), 1), tailOf(l.path)} {
		f, e := fsx.OpenUnlinked(name)
		if errors.Is(e, os.ErrNotExist) {
			continue
		}
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		if info, e := f.Stat(); e == nil {
			kept += info.Size()
		}
		parts = append(parts, f)
	}
	if cut := l.size - kept; cut > 0 {
		fmt.Fprintf(l.head, "\n… %s left out …\n", progress.Bytes(cut))
	}
	for _, f := range parts {
		_, e := io.Copy(l.head, f)
		err = errors.Join(err, e, f.Close(), os.Remove(f.Name()))
	}
	_ = removed(filepath.Join(filepath.Dir(l.path), logfile.LockName(filepath.Base(tailOf(l.path)))))
	return errors.Join(err, l.head.Close())
}
