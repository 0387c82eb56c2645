package xz

// Numbers of the format: LZMA specification, "Decompression".
const (
	half     = 1 << 10 // a probability of 1/2, of 1 << 11
	topRange = 1 << 24 // a range below takes one more byte
	inSize   = 1 << 17 // a chunk has 1 << 16 bytes at most, and a step takes 30 beyond
)

// probabilities are what the decoder has learned. Lengths are powers of two where an index is masked with them.
type probabilities struct {
	isMatch    [12][16]uint16
	isRep      [12]uint16
	isRep0     [12]uint16
	isRep1     [12]uint16
	isRep2     [12]uint16
	isRep0Long [12][16]uint16
	slots      [4][64]uint16
	distances  [128]uint16
	align      [16]uint16
	match, rep lengths
	literals   [16][0x400]uint16 // 0x300 are used
}

type lengths struct {
	choice, choice2 uint16
	low, mid        [16][8]uint16
	high            [256]uint16
}

// reset forgets what was learned.
func (p *probabilities) reset() {
	start := func(list []uint16) {
		for i := range list {
			list[i] = half
		}
	}
	for i := range p.isMatch {
		start(p.isMatch[i][:])
		start(p.isRep0Long[i][:])
	}
	for _, list := range [][]uint16{p.isRep[:], p.isRep0[:], p.isRep1[:], p.isRep2[:], p.distances[:], p.align[:]} {
		start(list)
	}
	for i := range p.slots {
		start(p.slots[i][:])
	}
	for _, l := range []*lengths{&p.match, &p.rep} {
		l.choice, l.choice2 = half, half
		for i := range l.low {
			start(l.low[i][:])
			start(l.mid[i][:])
		}
		start(l.high[:])
	}
	for i := range p.literals {
		start(p.literals[i][:])
	}
}

// A decoder is the state of LZMA between chunks.
type decoder struct {
	p                      probabilities
	state                  uint32 // 0 to 11: what the last steps were; from 7 on the last one was a match
	rep0, rep1, rep2, rep3 uint32 // the last distances, less one
	lc                     uint32 // bits of the byte before that choose the literals' probabilities
	lpMask, pbMask         uint32
}

func (d *decoder) reset() {
	d.p.reset()
	d.state, d.rep0, d.rep1, d.rep2, d.rep3 = 0, 0, 0, 0, 0
}

// bit decodes one bit with the probability *p: from the range r and the code c, with more of in from at on. It is inlined
// wherever it is called (a budget of 80, of which it takes 77), which is half of this package's speed.
func bit(p *uint16, r, c uint32, in *[inSize]byte, at uint32) (_, _, _, b uint32) {
	if r < topRange {
		r <<= 8
		c = c<<8 | uint32(in[at%inSize])
		at++
	}
	v := uint32(*p)
	bound := r >> 11 * v
	if c < bound {
		*p = uint16(v + (2048-v)>>5)
		return bound, c, at, 0
	}
	*p = uint16(v - v>>5)
	return r - bound, c - bound, at, 1
}

// decode fills win[pos:end] from in[:n], one chunk. The dictionary is win[start:pos], and dict bytes at most. false = the
// data is corrupt.
//
// The eight bits of a literal are decoded without a branch on what they are: it cannot be foretold. One loop for both kinds of
// literals takes a fifth more time.
func (d *decoder) decode(in *[inSize]byte, n uint32, win []byte, start, pos, end, dict int) bool {
	if n < 5 || in[0] != 0 {
		return false
	}
	at := uint32(5)
	r, c := ^uint32(0), uint32(in[1])<<24|uint32(in[2])<<16|uint32(in[3])<<8|uint32(in[4])
	p := &d.p
	state, rep0, rep1, rep2, rep3 := d.state, d.rep0, d.rep1, d.rep2, d.rep3
	win = win[:end]
	var b uint32
	for pos < end {
		if at > n {
			return false
		}
		here := uint32(pos) & d.pbMask % 16
		r, c, at, b = bit(&p.isMatch[state][here], r, c, in, at)
		if b == 0 {
			var before uint32
			if pos > start {
				before = uint32(win[pos-1])
			}
			list := &p.literals[(uint32(pos)&d.lpMask<<d.lc+before>>(8-d.lc))%16]
			symbol := uint32(1)
			if state < 7 {
				for range 8 {
					if r < topRange {
						r <<= 8
						c = c<<8 | uint32(in[at%inSize])
						at++
					}
					v := &list[symbol%0x400]
					bound := r >> 11 * uint32(*v)
					zero := uint32((int64(c) - int64(bound)) >> 63) // all ones for a 0
					*v -= uint16((int32(*v) + int32(zero&0xfffff81f)) >> 5)
					r = bound&zero | (r-bound)&^zero
					c -= bound &^ zero
					symbol = symbol<<1 | (zero + 1)
				}
				state -= min(state, 3)
			} else {
				if int64(rep0) >= int64(pos-start) {
					return false
				}
				match := uint32(win[pos-int(rep0)-1])
				off := uint32(0x100)
				for range 8 {
					match <<= 1
					matched := match & off
					if r < topRange {
						r <<= 8
						c = c<<8 | uint32(in[at%inSize])
						at++
					}
					v := &list[(off+matched+symbol)%0x400]
					bound := r >> 11 * uint32(*v)
					zero := uint32((int64(c) - int64(bound)) >> 63)
					*v -= uint16((int32(*v) + int32(zero&0xfffff81f)) >> 5)
					r = bound&zero | (r-bound)&^zero
					c -= bound &^ zero
					symbol = symbol<<1 | (zero + 1)
					off &= matched ^ zero
				}
				if state < 10 {
					state -= 3
				} else {
					state -= 6
				}
			}
			win[pos] = byte(symbol)
			pos++
			continue
		}
		var length uint32
		r, c, at, b = bit(&p.isRep[state], r, c, in, at)
		if b == 0 {
			rep3, rep2, rep1 = rep2, rep1, rep0
			r, c, at, length = p.match.decode(r, c, in, at, here)
			state = after(state, 7)
			slot := uint32(1)
			list := &p.slots[min(length, 3)]
			for range 6 {
				r, c, at, b = bit(&list[slot%64], r, c, in, at)
				slot = slot<<1 | b
			}
			slot -= 64
			bits := slot>>1 - 1
			switch {
			case slot < 4:
				rep0 = slot
			case slot < 14:
				rep0 = (2 | slot&1) << bits
				base, m := rep0-slot, uint32(1)
				for i := range bits {
					r, c, at, b = bit(&p.distances[(base+m)%128], r, c, in, at)
					m = m<<1 | b
					rep0 += b << i
				}
			default:
				rep0 = 2 | slot&1
				for range bits - 4 {
					if r < topRange {
						r <<= 8
						c = c<<8 | uint32(in[at%inSize])
						at++
					}
					r >>= 1
					c -= r
					below := uint32(int32(c) >> 31) // all ones for a 0
					c += r & below
					rep0 = rep0<<1 + below + 1
				}
				rep0 <<= 4
				m := uint32(1)
				for i := range 4 {
					r, c, at, b = bit(&p.align[m%16], r, c, in, at)
					m = m<<1 | b
					rep0 += b << i
				}
			}
		} else {
			r, c, at, b = bit(&p.isRep0[state], r, c, in, at)
			if b == 0 {
				r, c, at, b = bit(&p.isRep0Long[state][here], r, c, in, at)
				if b == 0 {
					if int64(rep0) >= int64(min(pos-start, dict)) {
						return false
					}
					state = after(state, 9)
					win[pos] = win[pos-int(rep0)-1]
					pos++
					continue
				}
			} else {
				r, c, at, b = bit(&p.isRep1[state], r, c, in, at)
				if b == 0 {
					rep0, rep1 = rep1, rep0
				} else {
					r, c, at, b = bit(&p.isRep2[state], r, c, in, at)
					if b == 0 {
						rep0, rep1, rep2 = rep2, rep0, rep1
					} else {
						rep0, rep1, rep2, rep3 = rep3, rep0, rep1, rep2
					}
				}
			}
			r, c, at, length = p.rep.decode(r, c, in, at, here)
			state = after(state, 8)
		}
		long := int(length) + 2
		if int64(rep0) >= int64(min(pos-start, dict)) || long > end-pos {
			return false
		}
		from := pos - int(rep0) - 1
		if from+long <= pos {
			copy(win[pos:pos+long], win[from:])
			pos += long
			continue
		}
		for range long { // it repeats what it has just written
			win[pos] = win[from]
			pos++
			from++
		}
	}
	if r < topRange {
		c = c<<8 | uint32(in[at%inSize])
		at++
	}
	d.state, d.rep0, d.rep1, d.rep2, d.rep3 = state, rep0, rep1, rep2, rep3
	return at == n && c == 0
}

// after returns the state after a step that was no literal: to, if the step before was one.
func after(state, to uint32) uint32 {
	switch {
	case state < 7:
		return to
	case to == 7:
		return 10
	}
	return 11
}

// decode returns a match's length, less two.
func (l *lengths) decode(r, c uint32, in *[inSize]byte, at, here uint32) (_, _, _, length uint32) {
	var b uint32
	m := uint32(1)
	list, least := &l.low, uint32(0)
	r, c, at, b = bit(&l.choice, r, c, in, at)
	if b == 1 {
		list, least = &l.mid, 8
		r, c, at, b = bit(&l.choice2, r, c, in, at)
		if b == 1 {
			for range 8 {
				r, c, at, b = bit(&l.high[m%256], r, c, in, at)
				m = m<<1 | b
			}
			return r, c, at, m - 256 + 16
		}
	}
	for range 3 {
		r, c, at, b = bit(&list[here%16][m%8], r, c, in, at)
		m = m<<1 | b
	}
	return r, c, at, m - 8 + least
}
