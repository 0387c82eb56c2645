package fsx

import (
	"errors"
	"fmt"
	"io"

	"overland/internal/errs"
)

// ErrTooLong is wrapped by the error (errs.Invalid) of a read that found more than it may.
var ErrTooLong = errors.New("longer than its limit")

// ReadFile returns what the regular file path holds, at most limit bytes. It opens as Open does.
func ReadFile(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f, path, limit)
}

// Read returns what r, which is called name, holds, at most limit bytes. It never returns a part:
// more is ErrTooLong.
func Read(r io.Reader, name string, limit int64) ([]byte, error) {
	b, err := io.ReadAll(Limit(r, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// Head returns the first limit bytes of r, or fewer when it has fewer: for excerpts and for magic
// numbers. Its error is that of r.
func Head(r io.Reader, limit int64) ([]byte, error) { return io.ReadAll(io.LimitReader(r, limit)) }

// Beginning is a writer that keeps the first Most bytes that it is given, and drops the rest: for
// what other programs print. It is not safe for concurrent use.
type Beginning struct {
	Most int
	kept []byte
}

// Write implements io.Writer. It takes everything, so that the program goes on.
func (b *Beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), b.Most-len(b.kept))]...)
	return len(p), nil
}

// Bytes returns what was kept; b still uses it.
func (b *Beginning) Bytes() []byte { return b.kept }

func (b *Beginning) String() string { return string(b.kept) }

// Limit returns a reader of r that fails with ErrTooLong when r has more than limit bytes: for what
// is parsed while it comes. It is not an io.LimitedReader, which ends as if r did.
func Limit(r io.Reader, limit int64) io.Reader { return &limited{r, limit, limit} }

type limited struct {
	r           io.Reader
	left, limit int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, l.tooLong()
	}
	if int64(len(p)) > l.left+1 { // one byte more tells whether there is more
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return n - 1, l.tooLong()
	}
	return n, err
}

func (l *limited) tooLong() error {
	return errs.Errorf(errs.Invalid, "%w (%d bytes)", ErrTooLong, l.limit)
}
