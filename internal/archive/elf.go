package archive

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	elfHeaders = 16 << 20  // bytes of the headers of segments, and of sections
	elfTable   = 256 << 20 // bytes of a section with strings, symbols or the like
)

// ELF reads the headers of r, a program. debug/elf holds tables in memory, and unpacks those that are compressed, whatever
// their headers say of their size: here both are bounded, so that the methods of an elf.File take no more than the largest
// table in the file. The sections of a program's own contents (elf.SHT_PROGBITS) are the exception.
func ELF(r io.ReaderAt) (*elf.File, error) {
	if err := elfNames(r); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_PROGBITS || s.Type == elf.SHT_NOBITS || s.Type == elf.SHT_NULL {
			continue
		}
		if err := elfSmall(uint64(s.Flags), s.FileSize); err != nil {
			return nil, fmt.Errorf("section %.100q: %w", s.Name, err)
		}
	}
	return f, nil
}

func elfSmall(flags, size uint64) error {
	switch {
	case flags&uint64(elf.SHF_COMPRESSED) != 0:
		return fmt.Errorf("%w: a compressed table", ErrBomb)
	case size > elfTable:
		return fmt.Errorf("%w: a table of %d bytes", ErrBomb, size)
	}
	return nil
}

// elfNames refuses what elf.NewFile itself would hold in memory: headers, and the names of sections. What is not a program is for
// NewFile to say.
func elfNames(r io.ReaderAt) error {
	var head [64]byte
	if n, _ := r.ReadAt(head[:], 0); n < 52 || string(head[:4]) != elf.ELFMAG {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if elf.Data(head[elf.EI_DATA]) == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	wide := elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS64
	word := func(b []byte) uint64 {
		if wide {
			return order.Uint64(b)
		}
		return uint64(order.Uint32(b))
	}
	at, sizes := word(head[32:]), head[42:] // e_shoff; e_phentsize and what follows it
	if wide {
		at, sizes = word(head[40:]), head[54:]
	}
	half := func(i int) uint64 { return uint64(order.Uint16(sizes[2*i:])) }
	phSize, phCount, shSize, shCount, names := half(0), half(1), half(2), half(3), half(4)
	section := func(i uint64) (flags, size, link uint64) {
		var b [64]byte
		if _, err := r.ReadAt(b[:min(shSize, uint64(len(b)))], int64(at+i*shSize)); err != nil {
			return 0, 0, 0 // NewFile will say it
		}
		if wide {
			return word(b[8:]), word(b[32:]), uint64(order.Uint32(b[40:]))
		}
		return word(b[8:]), word(b[20:]), uint64(order.Uint32(b[24:]))
	}
	if at > 0 && shCount == 0 { // the numbers do not fit into the header
		_, n, link := section(0)
		if shCount = n; names == uint64(elf.SHN_XINDEX) {
			names = link
		}
	}
	if phSize*phCount > elfHeaders || shCount > elfHeaders || shCount*shSize > elfHeaders {
		return fmt.Errorf("%w: the headers of %d sections and %d segments", ErrBomb, shCount, phCount)
	}
	if at == 0 || names >= shCount {
		return nil
	}
	flags, size, _ := section(names)
	return elfSmall(flags, size)
}
