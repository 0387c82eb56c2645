package xz

import (
	"errors"
	"io"
)

const chunkSize = 2 << 20 // the most that comes out of a chunk

var errCorrupt = errors.New("xz: the data is corrupt")

// lzma2 is the data of a block: chunks, one after the other.
type lzma2 struct {
	d    decoder
	dict int // bytes

	// win[start:wr] is the dictionary, of which win[rd:wr] was not read yet. The next chunk is written at wr. When there is no
	// room for it, the last dict bytes are moved to the front first. win grows as it is filled.
	win           []byte
	start, rd, wr int

	needsDict, needsProperties bool
	in                         [inSize]byte
}

// begin is called before a block.
func (l *lzma2) begin(dict int) {
	l.dict, l.needsDict, l.needsProperties = dict, true, true
	l.start, l.rd, l.wr = 0, 0, 0
}

// next reads a chunk. All that was there has been read. io.EOF = the end of the block's data.
func (l *lzma2) next(r input) error {
	control, err := r.ReadByte()
	switch {
	case err != nil:
		return cut(err)
	case control == 0:
		return io.EOF
	case control == 1 || control >= 0xe0:
		l.needsDict = false
		l.needsProperties = true
		l.start, l.rd, l.wr = 0, 0, 0
	case l.needsDict:
		return errCorrupt
	}
	if control < 0x80 {
		return l.plain(r, control)
	}
	var head [5]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return cut(err)
	}
	size := int(control&0x1f)<<16 + int(head[0])<<8 + int(head[1]) + 1
	n := int(head[2])<<8 + int(head[3]) + 1
	switch {
	case control >= 0xc0:
		if err := l.properties(r); err != nil {
			return err
		}
		l.d.reset()
	case l.needsProperties:
		return errCorrupt
	case control >= 0xa0:
		l.d.reset()
	}
	if _, err := io.ReadFull(r, l.in[:n]); err != nil {
		return cut(err)
	}
	l.room(size)
	if !l.d.decode(&l.in, uint32(n), l.win, l.start, l.rd, l.wr, l.dict) {
		return errCorrupt
	}
	return nil
}

// plain reads a chunk that is not compressed.
func (l *lzma2) plain(r input, control byte) error {
	if control > 2 {
		return errCorrupt
	}
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return cut(err)
	}
	l.room(int(head[0])<<8 + int(head[1]) + 1)
	_, err := io.ReadFull(r, l.win[l.rd:l.wr])
	return cut(err)
}

// properties reads how many bits of a position and of the byte before choose probabilities.
func (l *lzma2) properties(r input) error {
	b, err := r.ReadByte()
	if err != nil {
		return cut(err)
	}
	lc, lp, pb := b%9, b/9%5, b/45
	if pb > 4 || lc+lp > 4 {
		return errCorrupt
	}
	l.d.lc, l.d.lpMask, l.d.pbMask = uint32(lc), 1<<lp-1, 1<<pb-1
	l.needsProperties = false
	return nil
}

// room makes win[rd:wr] the place of size bytes more.
func (l *lzma2) room(size int) {
	most := l.dict + l.dict/8 + chunkSize + 16
	if l.wr+size > most {
		gone := (l.wr - l.dict) &^ 15 // positions count modulo 16 at most
		copy(l.win, l.win[gone:l.wr])
		l.start, l.wr = max(0, l.start-gone), l.wr-gone
	}
	if need := l.wr + size; need > len(l.win) {
		win := make([]byte, min(most, max(need, 2*len(l.win))))
		copy(win, l.win[:l.wr])
		l.win = win
	}
	l.rd, l.wr = l.wr, l.wr+size
}

// cut is err of a read of what must be there.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
