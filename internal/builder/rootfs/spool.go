package rootfs

import (
	"bufio"
	"io"
	"os"
	"sync/atomic"

	"overland/internal/errs"
	"overland/internal/fsx"
)

const bufferSize = 256 << 10

// spool is a file for what other files hold, one after the other. It has one writer.
type spool struct {
	f       *os.File
	pending *bufio.Writer // into f: a root has many small files
	size    int64         // of what was written to pending
	used    *used
}

// used is what one root file system has taken so far, in all of its spools.
type used struct{ entries, names, bytes atomic.Int64 }

// entry counts an entry, whose names have so many bytes, before it is held.
func (u *used) entry(names int) error {
	if u.entries.Add(1) > entriesLimit || u.names.Add(int64(names)) > namesLimit {
		return tooMany()
	}
	return nil
}

func tooMany() error {
	return errs.Errorf(errs.Untrusted, "more than %d files, or their names are too long", entriesLimit)
}

// newSpool returns an empty spool, a file in the folder dir.
func newSpool(dir string, used *used) (*spool, error) {
	f, err := os.CreateTemp(dir, "spool-")
	if err != nil {
		return nil, err
	}
	// Only the Writer: a file reads from others with a buffer that is made for each.
	return &spool{f: f, pending: bufio.NewWriterSize(struct{ io.Writer }{f}, bufferSize), used: used}, nil
}

func (s *spool) close() {
	s.f.Close()
	_ = os.Remove(s.f.Name())
}

// write adds what r yields.
func (s *spool) write(r io.Reader) error {
	left := sizeLimit - s.used.bytes.Load()
	n, err := io.Copy(s.pending, io.LimitReader(r, left+1))
	s.size += n
	if s.used.bytes.Add(n) > sizeLimit && err == nil {
		err = errs.Errorf(errs.Untrusted, "more than %d bytes", int64(sizeLimit))
	}
	return fsx.Full(err)
}

// bytes returns what e, a regular file, holds.
func (e *entry) bytes() *io.SectionReader {
	var from io.ReaderAt = e.in.f
	if err := e.in.pending.Flush(); err != nil {
		from = failed{err}
	}
	return io.NewSectionReader(from, e.at, e.size)
}

// failed is a spool that was not written.
type failed struct{ err error }

// ReadAt implements io.ReaderAt.
func (f failed) ReadAt([]byte, int64) (int, error) { return 0, fsx.Full(f.err) }
