package volume

import (
	"bufio"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"overland/internal/digest"
	"overland/internal/fsx"
)

// errEnd is returned when compressed bytes end elsewhere than they should.
var errEnd = fmt.Errorf("compressed bytes do not end where they should: %w", digest.ErrMismatch)

// unpack returns the size bytes that the compressed ones in r stand for. They must end with the last
// of these: bytes that stand for more, and bytes behind the end, are an error, and are not read.
func unpack(r io.Reader, size int64) io.Reader {
	const least = 4 << 10
	b := bufio.NewReaderSize(r, int(max(least, min(size, bufferSize)))) // what is small is smaller when it is packed
	return &unpacker{packed: b, content: flate.NewReader(b), left: size}
}

type unpacker struct {
	packed  *bufio.Reader
	content io.Reader
	left    int64
	err     error
}

func (u *unpacker) Read(p []byte) (int, error) {
	if u.err != nil || len(p) == 0 {
		return 0, u.err
	}
	var n int
	if u.left > 0 {
		n, u.err = u.content.Read(p[:min(int64(len(p)), u.left)])
		u.left -= int64(n)
	}
	switch {
	case errors.Is(u.err, io.EOF) && u.left > 0:
		u.err = errEnd
	case u.left == 0 && (u.err == nil || errors.Is(u.err, io.EOF)):
		u.err = u.ends()
	}
	var corrupt flate.CorruptInputError
	if errors.As(u.err, &corrupt) || errors.Is(u.err, io.ErrUnexpectedEOF) {
		u.err = fmt.Errorf("%w: %w", u.err, digest.ErrMismatch)
	}
	return n, u.err
}

// ends returns io.EOF when both kinds of bytes are at their end.
func (u *unpacker) ends() error {
	var one [1]byte
	if n, err := io.ReadFull(u.content, one[:]); n > 0 {
		return errEnd
	} else if err != io.EOF {
		return err
	}
	if _, err := u.packed.ReadByte(); err == nil {
		return errEnd
	} else if err != io.EOF {
		return err
	}
	return io.EOF
}

// skip reads n bytes of r.
func skip(ctx context.Context, r io.Reader, n int64) error {
	const piece = 4 << 20
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		done, err := io.CopyN(io.Discard, r, min(n, piece))
		if n -= done; err != nil {
			return err
		}
	}
	return nil
}

// spool unpacks m to a file without a name.
func (v *Volume) spool(ctx context.Context, m *member) (_ *io.SectionReader, _ io.Closer, err error) {
	const mode = 0o600
	f, err := fsx.FS{}.Nameless("", mode)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("volume %s: %s: %w", v.Name(), m.name, fsx.Full(err)), f.Close())
		}
	}()
	if err := fsx.Room(os.TempDir(), m.size, 0); err != nil {
		return nil, nil, err
	}
	content := v.content(m)
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		_, err := io.CopyN(f, content, bufferSize)
		if errors.Is(err, io.EOF) {
			return io.NewSectionReader(f, 0, m.size), f, nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
}
