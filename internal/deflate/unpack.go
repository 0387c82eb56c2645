package deflate

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// Slack is how many bytes of both slices of Unpack lie beyond what is meant: they are read and written in words.
const Slack = 32

// wordSize is how many bytes are taken at once: so much of a stream may be at hand before it is needed.
const wordSize = 8

// ErrNotFast is what Unpack returns for a stream that is damaged, or unusual: the usual decoder has the last word.
var ErrNotFast = errors.New("deflate: not unpacked in memory")

// Unpacker unpacks streams that are whole in memory, of which it is known how long they will be. With files of some KB,
// as Go modules have them, it takes half as long as a decoder that is a Reader. It is used for one stream after the
// other. The zero value works.
type Unpacker struct {
	literals  [literalSize]uint32
	distances [distanceSize]uint32
	lengths   [maxLiterals + maxDistances]uint8

	out    []byte
	at     int // bytes of out
	packed []byte
	pos    int    // bytes of packed that are in bits
	bits   uint64 // the lowest ones come next
	n      uint   // how many of them are valid; those above are the beginning of what comes at pos
}

// Unpack unpacks the stream that packed begins with to out. Nil says that all of out but its last Slack bytes is what
// compress/flate would have made of all but the last Slack bytes of packed, and no more than that. Otherwise the error
// is ErrNotFast, and out holds anything. What lies in the Slack of packed does not matter; that of out is written over.
func (u *Unpacker) Unpack(out, packed []byte) error {
	if len(out) < Slack || len(packed) < Slack {
		return ErrNotFast
	}
	u.out, u.at, u.packed, u.pos, u.bits, u.n = out, 0, packed, 0, 0, 0
	defer func() { u.out, u.packed = nil, nil }()
	for last := false; !last; {
		if !u.refill() {
			return ErrNotFast
		}
		last = u.take(1) == 1
		ok := false
		switch u.take(2) {
		case 0:
			ok = u.stored()
		case 1:
			ok = u.fixed() && u.block()
		case 2:
			ok = u.dynamic() && u.block()
		}
		if !ok || u.pos*8-int(u.n) > (len(packed)-Slack)*8 {
			return ErrNotFast
		}
	}
	if u.at != len(out)-Slack {
		return ErrNotFast
	}
	return nil
}

// refill has at least 56 bits at hand; false when the stream has ended long ago.
func (u *Unpacker) refill() bool {
	if u.pos > len(u.packed)-Slack+wordSize {
		return false
	}
	u.bits |= binary.LittleEndian.Uint64(u.packed[u.pos:]) << (u.n & 63)
	u.pos += int((63 - u.n) >> 3)
	u.n |= 56
	return true
}

// take returns the next n bits, which are at hand.
func (u *Unpacker) take(n uint) uint {
	v := uint(u.bits & (1<<(n&63) - 1))
	u.bits >>= n & 63
	u.n -= n
	return v
}

// stored copies a block that is not compressed.
func (u *Unpacker) stored() bool {
	u.pos -= int(u.n >> 3)
	u.bits, u.n = 0, 0
	const head = 4
	if u.pos+head > len(u.packed)-Slack {
		return false
	}
	n, not := binary.LittleEndian.Uint16(u.packed[u.pos:]), binary.LittleEndian.Uint16(u.packed[u.pos+2:])
	u.pos += head
	if n != ^not || u.pos+int(n) > len(u.packed)-Slack || u.at+int(n) > len(u.out)-Slack {
		return false
	}
	u.at += copy(u.out[u.at:], u.packed[u.pos:u.pos+int(n)])
	u.pos += int(n)
	return true
}

// What tables have (RFC 1951 §3.2). The low five bits of an entry are the length of its code, in the bits above
// them is how many bits follow, from bit 16 on a value. An entry that is 0 stands for no code.
const (
	maxLiterals  = 288
	maxDistances = 32
	usedLiterals = 286
	usedDistance = 30
	longest      = 15 // bits of a code

	literalBits  = 11 // of the first look; what is longer goes on in a table behind it
	literalSize  = 2342
	distanceBits = 8
	distanceSize = 402
	precodeBits  = 7

	isLiteral = 1 << 31 // not of distances, whose values have 15 bits
	isEnd     = 1 << 30
	isLonger  = 1 << 15 // the value is where the table lies, what follows its number of bits

	codeMask   = 31
	extraShift = 8
	extraMask  = 31
	valueShift = 16
	lengthMask = 1<<9 - 1
)

// literalEntry and distanceEntry are entries without the length of a code.
var literalEntry, distanceEntry = entries()

func entries() (literals [maxLiterals]uint32, distances [maxDistances]uint32) {
	for i := range uint32(256) {
		literals[i] = isLiteral | i<<valueShift
	}
	literals[256] = isEnd
	const first, longestMatch = 257, 258
	for i, base := uint32(0), uint32(3); i < 28; i++ {
		extra := uint32(0)
		if i >= 8 {
			extra = i/4 - 1
		}
		literals[first+i] = base<<valueShift | extra<<extraShift
		base += 1 << extra
	}
	literals[usedLiterals-1] = longestMatch << valueShift
	for i, base := uint32(0), uint32(1); i < usedDistance; i++ {
		extra := uint32(0)
		if i >= 4 {
			extra = i/2 - 1
		}
		distances[i] = base<<valueShift | extra<<extraShift
		base += 1 << extra
	}
	return literals, distances
}

// build makes a table of codes with these lengths, whose first look is at width bits. False when they are not exactly
// all codes that there are; a single code of one bit is, as encoders write it, and so is none.
func build(table []uint32, width uint, lengths []uint8, entry []uint32) bool {
	var count, next [longest + 2]uint16
	for _, l := range lengths {
		count[l]++
	}
	left, used := 1, 0
	for l := 1; l <= longest; l++ {
		left = left<<1 - int(count[l])
		used += int(count[l])
		if left < 0 {
			return false
		}
		next[l+1] = (next[l] + count[l]) << 1
	}
	if left > 0 && used > 1 || used == 1 && count[1] != 1 {
		return false
	}
	clear(table[:1<<width])
	deep := false
	codes := next
	for s, l := range lengths {
		if l == 0 {
			continue
		}
		code := uint(bits.Reverse16(codes[l]) >> (16 - l))
		codes[l]++
		if uint(l) > width {
			deep = true
			if more := uint32(l) - uint32(width); more > table[code&(1<<width-1)]>>extraShift&extraMask {
				table[code&(1<<width-1)] = isLonger | more<<extraShift
			}
			continue
		}
		for e := entry[s] | uint32(l); code < 1<<width; code += 1 << l {
			table[code] = e
		}
	}
	return !deep || deepen(table, width, lengths, entry, next)
}

// deepen fills the tables behind the first look.
func deepen(table []uint32, width uint, lengths []uint8, entry []uint32, codes [longest + 2]uint16) bool {
	free := uint(1) << width
	for s, l := range lengths {
		if l == 0 {
			continue
		}
		code := uint(bits.Reverse16(codes[l]) >> (16 - l))
		codes[l]++
		if uint(l) <= width {
			continue
		}
		first := &table[code&(1<<width-1)]
		size := uint(1) << (*first >> extraShift & extraMask)
		if *first>>valueShift == 0 {
			if free+size > uint(len(table)) {
				return false
			}
			*first |= uint32(free)<<valueShift | uint32(width)
			free += size
		}
		l -= uint8(width)
		for code, e := code>>width, entry[s]|uint32(l); code < size; code += 1 << l {
			table[uint(*first>>valueShift)+code] = e
		}
	}
	return true
}

// fixed makes the tables that need not be sent.
func (u *Unpacker) fixed() bool {
	for i := range u.lengths[:maxLiterals] {
		switch {
		case i < 144:
			u.lengths[i] = 8
		case i < 256:
			u.lengths[i] = 9
		case i < 280:
			u.lengths[i] = 7
		default:
			u.lengths[i] = 8
		}
	}
	for i := range maxDistances {
		u.lengths[maxLiterals+i] = 5
	}
	return u.tables(maxLiterals, maxDistances)
}

func (u *Unpacker) tables(literals, distances int) bool {
	return build(u.literals[:], literalBits, u.lengths[:literals], literalEntry[:]) &&
		build(u.distances[:], distanceBits, u.lengths[literals:literals+distances], distanceEntry[:])
}

// precodeOrder is in which the lengths of the code come that the lengths of the others are written in.
var precodeOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

var precodeEntry = func() (list [len(precodeOrder)]uint32) {
	for i := range list {
		list[i] = uint32(i) << valueShift
	}
	return list
}()

// dynamic reads the tables of a block.
func (u *Unpacker) dynamic() bool {
	literals, distances, codes := int(u.take(5))+257, int(u.take(5))+1, int(u.take(4))+4
	if literals > usedLiterals || distances > usedDistance {
		return false
	}
	var lengths [len(precodeOrder)]uint8
	for _, at := range precodeOrder[:codes] {
		if !u.refill() {
			return false
		}
		lengths[at] = uint8(u.take(3))
	}
	var table [1 << precodeBits]uint32
	if !build(table[:], precodeBits, lengths[:], precodeEntry[:]) {
		return false
	}
	for i := 0; i < literals+distances; {
		if !u.refill() {
			return false
		}
		e := table[u.bits&(1<<precodeBits-1)]
		if e == 0 {
			return false
		}
		u.take(uint(e & codeMask))
		value, times := uint8(e>>valueShift), 1
		switch {
		case value < 16:
		case value == 16 && i == 0:
			return false
		case value == 16:
			value, times = u.lengths[i-1], 3+int(u.take(2))
		case value == 17:
			value, times = 0, 3+int(u.take(3))
		default:
			value, times = 0, 11+int(u.take(7))
		}
		if i+times > literals+distances {
			return false
		}
		for range times {
			u.lengths[i] = value
			i++
		}
	}
	return u.tables(literals, distances)
}

// block unpacks the codes of a block until its end.
//
//nolint:cyclop,funlen // one loop, whose variables are in registers
func (u *Unpacker) block() bool {
	out, packed, at, pos, b, n := u.out, u.packed, u.at, u.pos, u.bits, u.n
	end, limit := len(out)-Slack, len(packed)-Slack+wordSize
	for {
		if pos > limit || at > end {
			return false
		}
		b |= binary.LittleEndian.Uint64(packed[pos:]) << (n & 63)
		pos += int((63 - n) >> 3)
		n |= 56
		e := u.literals[b&(1<<literalBits-1)]
		if e&isLiteral != 0 {
			out[at] = byte(e >> valueShift)
			at++
			b >>= e & codeMask
			n -= uint(e & codeMask)
			e = u.literals[b&(1<<literalBits-1)]
			if e&isLiteral != 0 {
				out[at] = byte(e >> valueShift)
				at++
				b >>= e & codeMask
				n -= uint(e & codeMask)
				e = u.literals[b&(1<<literalBits-1)]
				if e&isLiteral != 0 {
					out[at] = byte(e >> valueShift)
					at++
					b >>= e & codeMask
					n -= uint(e & codeMask)
					continue
				}
			}
			b |= binary.LittleEndian.Uint64(packed[pos:]) << (n & 63)
			pos += int((63 - n) >> 3)
			n |= 56
		}
		if e&isLonger != 0 {
			b >>= e & codeMask
			n -= uint(e & codeMask)
			e = u.literals[int(e>>valueShift)+int(b&(1<<(e>>extraShift&extraMask)-1))]
			if e&isLiteral != 0 {
				out[at] = byte(e >> valueShift)
				at++
				b >>= e & codeMask
				n -= uint(e & codeMask)
				continue
			}
		}
		b >>= e & codeMask
		n -= uint(e & codeMask)
		if e&isEnd != 0 {
			u.at, u.pos, u.bits, u.n = at, pos, b, n
			return at <= end
		}
		extra := e >> extraShift & extraMask
		length := int(e>>valueShift&lengthMask) + int(b&(1<<extra-1))
		b >>= extra
		n -= uint(extra)
		d := u.distances[b&(1<<distanceBits-1)]
		if d&isLonger != 0 {
			b >>= d & codeMask
			n -= uint(d & codeMask)
			d = u.distances[int(d>>valueShift)+int(b&(1<<(d>>extraShift&extraMask)-1))]
		}
		b >>= d & codeMask
		n -= uint(d & codeMask)
		extra = d >> extraShift & extraMask
		from := at - int(d>>valueShift) - int(b&(1<<extra-1))
		b >>= extra
		n -= uint(extra)
		to := at + length
		if length == 0 || d>>valueShift == 0 || from < 0 || to > end {
			return false
		}
		switch {
		case at-from >= 8:
			for ; at < to; at, from = at+8, from+8 {
				binary.LittleEndian.PutUint64(out[at:], binary.LittleEndian.Uint64(out[from:]))
			}
		case at-from == 1:
			same := uint64(out[from]) * 0x0101010101010101
			for ; at < to; at += 8 {
				binary.LittleEndian.PutUint64(out[at:], same)
			}
		default:
			for ; at < to; at, from = at+1, from+1 {
				out[at] = out[from]
			}
		}
		at = to
	}
}
