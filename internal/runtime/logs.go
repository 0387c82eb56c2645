package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"overland/internal/fsx"

	"golang.org/x/sys/unix"
)

// tailLimit is how much of a log Tail looks at: the memory that it takes, in bytes.
const tailLimit = 1 << 20

// Tail returns the last n lines of the log path, without their line ends, oldest first: fewer
// when the log and its last rotated part hold fewer, or when they are longer than 1 MiB together.
// A log that is not there has none.
func Tail(path string, n int) ([]string, error) {
	if n <= 0 {
		return nil, nil
	}
	log, err := lockLog(path, os.O_RDONLY, unix.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	defer log.Close()
	text, err := tail(log.File, n, tailLimit)
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	if have := bytes.Count(text, []byte("\n")); have < n && len(text) < tailLimit {
		if old, err := fsx.Open(numbered(path, 1)); err == nil {
			defer old.Close()
			before, err := tail(old, n-have+1, tailLimit-len(text))
			if err != nil {
				return nil, fmt.Errorf("read log: %w", err)
			}
			text = append(before, text...)
		}
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(text) == 0 {
		return nil, nil
	}
	return slices.Clone(lines[max(0, len(lines)-n):]), nil
}

// tail returns the end of f: at least its last n lines when they fit into limit bytes.
func tail(f *os.File, n, limit int) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const block = 32 << 10
	var text []byte
	for off := info.Size(); off > 0 && len(text) < limit; {
		size := min(block, off, int64(limit-len(text)))
		off -= size
		b := make([]byte, size)
		k, err := f.ReadAt(b, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		text = append(b[:k], text...)
		if bytes.Count(text, []byte("\n")) > n { // one more than n: the last byte may be a line end
			return text, nil
		}
		if off > 0 && len(text) >= limit {
			if _, whole, found := bytes.Cut(text, []byte("\n")); found {
				text = whole // a line that was cut is not shown
			}
			return text, nil
		}
	}
	return text, nil
}

// followPoll is how often Follow looks for more.
const followPoll = 200 * time.Millisecond

// Follow copies what is appended to the log path, from offset off on (bytes; -1 = its end now), to
// w until ctx ends, through rotations. A log that is not there yet is waited for. It returns nil
// when ctx ends, or what w returned.
func Follow(ctx context.Context, path string, off int64, w io.Writer) error {
	r := newLogReader(path, off)
	buf := make([]byte, 32<<10)
	tick := time.NewTicker(followPoll)
	defer tick.Stop()
	for {
		n, err := r.read(buf)
		if err != nil {
			return fmt.Errorf("follow log: %w", err)
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			if ctx.Err() == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// logReader reads a log on and on, through rotations: not through two between two reads.
type logReader struct {
	path string
	pos  int64
	one  os.FileInfo // LOG.1 as last seen: another one means that the log was rotated
}

// newLogReader starts at offset off; -1 is the end.
func newLogReader(path string, off int64) *logReader {
	r := &logReader{path: path, pos: max(off, 0)}
	r.one, _ = os.Stat(numbered(path, 1))
	if off < 0 {
		if info, err := os.Stat(path); err == nil {
			r.pos = info.Size()
		}
	}
	return r
}

// read reads what is there; 0 bytes mean that there is nothing more now.
func (r *logReader) read(buf []byte) (int, error) {
	log, err := lockLog(r.path, os.O_RDONLY, unix.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if one, err := os.Stat(numbered(r.path, 1)); err == nil && (r.one == nil || !os.SameFile(one, r.one)) {
		if n, err := readAt(numbered(r.path, 1), buf, r.pos); n > 0 || err != nil {
			r.pos += int64(n)
			return n, err
		}
		r.one, r.pos = one, 0
	}
	if info, err := log.Stat(); err == nil && info.Size() < r.pos {
		r.pos = 0 // emptied by somebody else
	}
	n, err := log.ReadAt(buf, r.pos)
	r.pos += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func readAt(path string, buf []byte, off int64) (int, error) {
	f, err := fsx.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(buf, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
