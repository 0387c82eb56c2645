package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds limit what a tar may hold. A zero field means no limit.
type Bounds struct {
	Members int64
	Bytes   int64        // of the tar, not compressed: contents, headers, and what follows its end
	Ratio   int64        // bytes of the tar for one byte of Packed, beyond the first Free
	Free    int64        // bytes
	Packed  func() int64 // bytes that were read so far of what the tar is unpacked from
}

// ErrBomb is wrapped by the error of a tar with more than its Bounds, or with a sparse member.
var ErrBomb = errors.New("more than an archive may hold")

// trailer is how many bytes may follow the end of a tar: writers fill their last record.
const trailer = 1 << 20

// Tar reads a tar. Its errors but io.EOF are the archive's fault, or those of the reader that it reads.
type Tar struct {
	in     *bounded
	t      *tar.Reader
	left   int64 // members
	bounds Bounds
	failed error
}

// NewTar returns a reader of the tar r.
func NewTar(r io.Reader, b Bounds) *Tar {
	in := &bounded{r: r, bounds: b}
	return &Tar{in: in, t: tar.NewReader(in), left: b.Members, bounds: b}
}

// Next goes to the next member, and returns its header. After the last one it is io.EOF, once what follows the end
// of the archive has been read: at most 1 MiB.
func (t *Tar) Next() (*tar.Header, error) {
	h, err := t.next()
	return h, t.keep(err)
}

func (t *Tar) next() (*tar.Header, error) {
	h, err := t.t.Next()
	switch {
	case errors.Is(err, io.EOF):
		n, err := io.Copy(io.Discard, io.LimitReader(t.in, trailer+1))
		if err == nil && n > trailer {
			err = fmt.Errorf("%w: more than %d bytes follow its end", ErrBomb, trailer)
		}
		if err == nil {
			err = io.EOF
		}
		return nil, err
	case err != nil:
		return nil, err
	case sparse(h):
		return nil, fmt.Errorf("%w: %.200q is sparse, %d bytes that need not be there", ErrBomb, h.Name, h.Size)
	}
	if t.left--; t.left < 0 && t.bounds.Members > 0 {
		return nil, fmt.Errorf("%w: it has more than %d files", ErrBomb, t.bounds.Members)
	}
	return h, nil
}

// sparse reports whether h is of a file with holes, in one of GNU's four forms.
func sparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// Read reads the member that Next went to.
func (t *Tar) Read(p []byte) (int, error) {
	n, err := t.t.Read(p)
	return n, t.keep(err)
}

// Failed returns the last error of Next or Read other than io.EOF: it tells an error of the archive from one of whoever
// takes what is in it.
func (t *Tar) Failed() error { return t.failed }

func (t *Tar) keep(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		t.failed = err
	}
	return err
}

// bounded is the bytes of a tar.
type bounded struct {
	r      io.Reader
	n      int64
	bounds Bounds
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	switch o := b.bounds; {
	case o.Bytes > 0 && b.n > o.Bytes:
		err = fmt.Errorf("%w: more than %d bytes", ErrBomb, o.Bytes)
	case o.Ratio > 0 && b.n > o.Free && b.n/o.Ratio > o.Packed():
		err = fmt.Errorf("%w: it grows more than %d-fold", ErrBomb, o.Ratio)
	}
	return n, err
}
