package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"overland/internal/digest"
	"overland/internal/errs"
)

// Blob is an open blob. The caller closes it. One that is a file of this machine is a syscall.Conn
// too, so that net/http lets the kernel send it: hand on the Blob itself, not a reader around it.
type Blob interface {
	File
	// Size returns the length in bytes.
	Size() int64
}

// File is what a blob is read from: an *os.File in a depot, a part of one elsewhere.
type File interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// NewBlob returns the blob of size bytes that f holds.
func NewBlob(f File, size int64) Blob { return blob{f, size} }

type blob struct {
	File
	size int64
}

func (b blob) Size() int64 { return b.size }

// Once returns a reader of the whole of b, from its start, for a long copy that is not soon
// followed by another: a large blob that is a local file does not stay in memory.
func Once(b Blob) io.Reader {
	if o, ok := b.(interface{ Once() io.Reader }); ok {
		return o.Once()
	}
	return b
}

// Has reports whether blob d is there. It looks at the name only: see Verify.
func Has(ctx context.Context, s Blobs, d digest.Digest) (bool, error) {
	_, err := s.Stat(ctx, d)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// HasSize reports whether blob d is there with a length of size bytes; -1 stands for any. A power
// cut may leave a blob with another length than its own under its name.
func HasSize(ctx context.Context, s Blobs, d digest.Digest, size int64) (bool, error) {
	n, err := s.Stat(ctx, d)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && (size < 0 || n == size), err
}

// PutBytes stores b and returns its name.
func PutBytes(ctx context.Context, s Blobs, b []byte) (digest.Digest, error) {
	d, _, err := s.Put(ctx, bytes.NewReader(b), digest.Of(b), int64(len(b)))
	return d, err
}

// Verify reads blob d whole and returns an error that wraps digest.ErrMismatch (errs.Untrusted)
// when its bytes are not d.
func Verify(ctx context.Context, s Opener, d digest.Digest) error {
	b, err := s.Open(ctx, d)
	if err != nil {
		return err
	}
	defer b.Close()
	h := digest.New()
	if _, err := io.Copy(h, untilDone{ctx, Once(b)}); err != nil {
		return fmt.Errorf("verify blob %s: %w", d, err)
	}
	return Same(d, h.Digest())
}

// Same returns an error that wraps digest.ErrMismatch (errs.Untrusted) unless the blob d has the
// digest got.
func Same(d, got digest.Digest) error {
	if got == d {
		return nil
	}
	return errs.Errorf(errs.Untrusted, "blob %s: its bytes are %s: %w", d, got, digest.ErrMismatch)
}

// untilDone reads r until ctx is done.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
