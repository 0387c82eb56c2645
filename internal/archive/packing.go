package archive

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"overland/internal/archive/xz"
)

// Packing is how bytes are compressed.
type Packing string

// The packings that are known here.
const (
	Plain Packing = "plain"
	Gzip  Packing = "gzip"
	Bzip2 Packing = "bzip2"
	XZ    Packing = "xz"
	Zstd  Packing = "zstd"
)

// magics are the first bytes of what is packed.
var magics = []struct {
	bytes string
	as    Packing
}{{"\x1f\x8b", Gzip}, {"BZh", Bzip2}, {"\xfd7zXZ\x00", XZ}, {"\x28\xb5\x2f\xfd", Zstd}}

// PackingOf returns how bytes that begin with head are packed: Plain when none of the others is known by it.
func PackingOf(head []byte) Packing {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.bytes)) {
			return m.as
		}
	}
	return Plain
}

// Window is the most that is held to unpack zstd, in bytes.
const Window = 128 << 20

// largestDictionary is that of xz -9, the best of its levels.
const largestDictionary = 64 << 20

// Unpack returns a reader of what r, packed as p, holds. What it reads is not limited. The caller calls done.
func Unpack(r io.Reader, p Packing) (_ io.Reader, done func(), err error) {
	nothing := func() {}
	switch p {
	case Plain:
		return r, nothing, nil
	case Gzip:
		z, err := gzip.NewReader(r)
		return z, nothing, err
	case Bzip2:
		return bzip2.NewReader(r), nothing, nil
	case XZ:
		x, err := xz.NewReader(r, largestDictionary)
		return x, nothing, err
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(Window))
		if err != nil {
			return nil, nothing, err
		}
		return z, z.Close, nil
	}
	return nil, nothing, fmt.Errorf("packed as %.20q, which is not known here", string(p))
}

// Unpacked is Unpack of what r is packed as, told by its first bytes.
func Unpacked(r io.Reader) (_ io.Reader, done func(), err error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, func() {}, err
	}
	return Unpack(b, PackingOf(head))
}
