package xz

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// Ids and sizes of the format: "The .xz File Format", version 1.2.0.
const (
	magic, footerMagic = "\xfd7zXZ\x00", "YZ"
	filterLZMA2        = 0x21
	largestCode        = 40 // of a dictionary: 4 GiB - 1
)

var table = crc64.MakeTable(crc64.ECMA)

type input interface {
	io.Reader
	io.ByteReader
}

// A Reader is what an xz file unpacks to.
type Reader struct {
	r    *counter
	most int
	l    lzma2

	kind  byte      // of the check
	check hash.Hash // nil = none

	// Of the block that is read. A declared size of -1 = it is not declared.
	inBlock                bool
	began                  int64 // r.n at its header
	data                   int64 // r.n at its data
	out                    int64 // what came out
	packedSize, unpackSize int64

	blocks int64
	seen   hash.Hash // of the sizes of the stream's blocks: the index repeats them
	err    error
}

// NewReader returns a Reader of r, which begins with a stream. A file that asks for a dictionary of more than most bytes is an
// error, here for its first block. More than the file may be read of r.
func NewReader(r io.Reader, most int) (*Reader, error) {
	x := &Reader{r: &counter{b: bufio.NewReader(r)}, most: most}
	if err := x.stream(); err != nil {
		return nil, err
	}
	if x.err = x.block(); x.err != nil && !errors.Is(x.err, io.EOF) {
		return nil, x.err
	}
	return x, nil
}

// Read reads what comes out. A damaged file is an error at the latest where its end would be.
func (x *Reader) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for x.l.rd == x.l.wr && x.err == nil {
		x.err = x.more()
	}
	if x.l.rd == x.l.wr {
		return 0, x.err
	}
	n := copy(b, x.l.win[x.l.rd:x.l.wr])
	x.l.rd += n
	return n, nil
}

// more reads until something has come out.
func (x *Reader) more() error {
	if !x.inBlock {
		return x.block()
	}
	err := x.l.next(x.r)
	if errors.Is(err, io.EOF) {
		return x.endBlock()
	}
	if err != nil {
		x.l.rd = x.l.wr // what was made before it was found to be wrong is nobody's
		return err
	}
	x.out += int64(x.l.wr - x.l.rd)
	if x.check != nil {
		x.check.Write(x.l.win[x.l.rd:x.l.wr])
	}
	return nil
}

// stream reads a stream's header.
func (x *Reader) stream() error {
	var h [12]byte
	if _, err := io.ReadFull(x.r, h[:]); err != nil {
		return cut(err)
	}
	if string(h[:6]) != magic {
		return errors.New("xz: this is no xz file")
	}
	if h[6] != 0 || h[7] > 15 || binary.LittleEndian.Uint32(h[8:]) != crc32.ChecksumIEEE(h[6:8]) {
		return errCorrupt
	}
	x.kind, x.blocks, x.seen = h[7], 0, sha256.New()
	switch x.kind {
	case 0:
		x.check = nil
	case 1:
		x.check = crc32.NewIEEE()
	case 4:
		x.check = crc64.New(table)
	case 10:
		x.check = sha256.New()
	default:
		return fmt.Errorf("xz: check %d is not known here", x.kind)
	}
	return nil
}

// block reads a block's header, or the index and all that follows until the next stream. io.EOF = the end of the file.
func (x *Reader) block() error {
	x.began = x.r.n
	length, err := x.r.ReadByte()
	if err != nil {
		return cut(err)
	}
	if length == 0 {
		return x.index()
	}
	h := make([]byte, (int(length)+1)*4)
	h[0] = length
	if _, err := io.ReadFull(x.r, h[1:]); err != nil {
		return cut(err)
	}
	end := len(h) - 4
	if binary.LittleEndian.Uint32(h[end:]) != crc32.ChecksumIEEE(h[:end]) || h[1]&0x3c != 0 {
		return errCorrupt
	}
	f := bytes.NewReader(h[2:end])
	x.packedSize, x.unpackSize = -1, -1
	if h[1]&0x40 != 0 {
		if x.packedSize, err = number(f); err != nil {
			return err
		}
	}
	if h[1]&0x80 != 0 {
		if x.unpackSize, err = number(f); err != nil {
			return err
		}
	}
	dict, err := x.filters(f, int(h[1]&3)+1)
	if err != nil {
		return err
	}
	for f.Len() > 0 {
		if b, _ := f.ReadByte(); b != 0 {
			return errCorrupt
		}
	}
	x.inBlock, x.data, x.out = true, x.r.n, 0
	if x.check != nil {
		x.check.Reset()
	}
	x.l.begin(dict)
	return nil
}

// filters reads the filters of a block, and returns its dictionary's length in bytes.
func (x *Reader) filters(f *bytes.Reader, count int) (int, error) {
	id, err := number(f)
	if err != nil {
		return 0, err
	}
	if id != filterLZMA2 || count != 1 {
		return 0, fmt.Errorf("xz: filter %#x of %d is not known here: LZMA2 alone is", id, count)
	}
	if size, err := number(f); err != nil || size != 1 {
		return 0, errCorrupt
	}
	code, err := f.ReadByte()
	if err != nil || code > largestCode {
		return 0, errCorrupt
	}
	dict := (2 | uint64(code&1)) << (code/2 + 11)
	if dict > uint64(x.most) {
		return 0, fmt.Errorf("xz: a dictionary of %d bytes, more than %d", dict, x.most)
	}
	return int(dict), nil
}

// endBlock reads what follows a block's data, and remembers its sizes.
func (x *Reader) endBlock() error {
	x.inBlock = false
	packed := x.r.n - x.data
	if x.packedSize >= 0 && x.packedSize != packed || x.unpackSize >= 0 && x.unpackSize != x.out {
		return errCorrupt
	}
	if err := x.padding(x.r.n - x.began); err != nil {
		return err
	}
	unpadded := x.data - x.began + packed
	if x.check != nil {
		want := x.check.Sum(nil)
		if x.kind != 10 { // numbers: the lowest byte first
			for i, j := 0, len(want)-1; i < j; i, j = i+1, j-1 {
				want[i], want[j] = want[j], want[i]
			}
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(x.r, got); err != nil {
			return cut(err)
		}
		if !bytes.Equal(got, want) {
			return errCorrupt
		}
		unpadded += int64(len(want))
	}
	x.blocks++
	remember(x.seen, unpadded, x.out)
	return nil
}

func remember(h hash.Hash, unpadded, unpacked int64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(unpadded))
	binary.LittleEndian.PutUint64(b[8:], uint64(unpacked))
	h.Write(b[:])
}

// index reads a stream's index, of which the first byte has been read, its footer, and what lies between it and the next
// stream, whose header it reads.
func (x *Reader) index() error {
	sum := crc32.NewIEEE()
	sum.Write([]byte{0})
	x.r.sum = sum
	count, err := number(x.r)
	if err != nil || count != x.blocks {
		return cmp.Or(err, errCorrupt)
	}
	listed := sha256.New()
	for range count {
		unpadded, err := number(x.r)
		if err != nil {
			return err
		}
		unpacked, err := number(x.r)
		if err != nil {
			return err
		}
		remember(listed, unpadded, unpacked)
	}
	if !bytes.Equal(listed.Sum(nil), x.seen.Sum(nil)) {
		return errCorrupt
	}
	if err := x.padding(x.r.n - x.began); err != nil {
		return err
	}
	x.r.sum = nil
	size := x.r.n - x.began + 4
	var f [16]byte
	if _, err := io.ReadFull(x.r, f[:]); err != nil {
		return cut(err)
	}
	if binary.LittleEndian.Uint32(f[:]) != sum.Sum32() || binary.LittleEndian.Uint32(f[4:]) != crc32.ChecksumIEEE(f[8:14]) ||
		(int64(binary.LittleEndian.Uint32(f[8:]))+1)*4 != size || f[12] != 0 || f[13] != x.kind || string(f[14:]) != footerMagic {
		return errCorrupt
	}
	for {
		next, err := x.r.b.Peek(4)
		switch {
		case len(next) == 0 && errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return cut(err)
		case !bytes.Equal(next, make([]byte, 4)):
			return x.stream()
		}
		if _, err := x.r.b.Discard(4); err != nil {
			return err
		}
	}
}

// padding reads zeros until length is a multiple of four.
func (x *Reader) padding(length int64) error {
	for range -length & 3 {
		b, err := x.r.ReadByte()
		if err != nil || b != 0 {
			return cmp.Or(cut(err), errCorrupt)
		}
	}
	return nil
}

// number reads an integer of the format: seven bits in a byte, the lowest first, nine bytes at most.
func number(r io.ByteReader) (int64, error) {
	var n int64
	for i := range 9 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, cut(err)
		}
		if b == 0 && i > 0 {
			return 0, errCorrupt // there is a shorter form
		}
		n |= int64(b&0x7f) << (7 * i)
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, errCorrupt
}

// counter counts what is read of b.
type counter struct {
	b   *bufio.Reader
	n   int64
	sum hash.Hash // gets it as well; nil = none
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.b.Read(b)
	c.n += int64(n)
	if c.sum != nil {
		c.sum.Write(b[:n])
	}
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.b.ReadByte()
	if err == nil {
		c.n++
		if c.sum != nil {
			c.sum.Write([]byte{b})
		}
	}
	return b, err
}
