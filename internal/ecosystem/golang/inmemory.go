package golang

import (
	"archive/zip"
	"encoding/binary"
	"hash/crc32"
	"io"

	"overland/internal/deflate"
)

// What is unpacked in memory: nearly all files of nearly all modules. Each module that is being hashed holds as much
// as its longest such file.
const (
	fastPacked   = 1 << 20
	fastUnpacked = 4 << 20
	aheadSize    = 128 << 10
)

// memory is what one module needs to be unpacked in memory.
type memory struct {
	deflate.Unpacker
	ahead       ahead
	packed, out []byte
}

// content returns what f, a file of m.ahead, holds, valid until the next call. False when it is long, stored in another
// way, or damaged: archive/zip has the last word then.
func (m *memory) content(f *zip.File) ([]byte, bool) {
	// What follows the bytes of a file whose sum was not known when it was begun.
	const described, signature, descriptor = 0x8, 0x08074b50, 16
	if f.Method != zip.Deflate || f.CompressedSize64 > fastPacked || f.UncompressedSize64 > fastUnpacked {
		return nil, false
	}
	packed, size := int(f.CompressedSize64), int(f.UncompressedSize64)
	at, err := f.DataOffset()
	if err != nil {
		return nil, false
	}
	m.packed, m.out = sized(m.packed, packed+deflate.Slack), sized(m.out, size+deflate.Slack)
	if n, _ := m.ahead.ReadAt(m.packed[:packed+descriptor], at); n < packed+descriptor { // a list of files follows in any case
		return nil, false
	}
	behind := m.packed[packed:]
	if f.Flags&described != 0 && (binary.LittleEndian.Uint32(behind) != signature || binary.LittleEndian.Uint32(behind[4:]) != f.CRC32) {
		return nil, false
	}
	if m.Unpack(m.out, m.packed) != nil || crc32.ChecksumIEEE(m.out[:size]) != f.CRC32 {
		return nil, false
	}
	return m.out[:size], true
}

func sized(b []byte, n int) []byte {
	if n > cap(b) {
		return make([]byte, n)
	}
	return b[:n]
}

// ahead is an archive of which small pieces are wanted, mostly one behind the other.
type ahead struct {
	io.ReadSeeker
	from io.ReaderAt
	buf  []byte // what was read, from at on
	at   int64
}

// open makes a read body from its start.
func (a *ahead) open(body io.ReadSeeker, from io.ReaderAt) {
	if a.buf == nil {
		a.buf = make([]byte, 0, aheadSize)
	}
	a.ReadSeeker, a.from, a.buf, a.at = body, from, a.buf[:0], 0
}

// ReadAt implements io.ReaderAt. It is not safe for concurrent use.
func (a *ahead) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > aheadSize/2 {
		return a.from.ReadAt(p, off)
	}
	if off < a.at || off+int64(len(p)) > a.at+int64(len(a.buf)) {
		n, err := a.from.ReadAt(a.buf[:aheadSize], off)
		a.buf, a.at = a.buf[:n], off
		if n < len(p) {
			return copy(p, a.buf), err
		}
	}
	return copy(p, a.buf[off-a.at:]), nil
}
