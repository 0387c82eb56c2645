package volume

import (
	"bytes"
	"io"
)

// ending is what the records at the end of a volume say about its central directory.
type ending struct {
	count int
	off   int64
	size  int64
}

// readEnd reads the end records of the ZIP in r. They are the last bytes: a volume has no comment.
func readEnd(r io.ReaderAt, size int64) (ending, error) {
	var b [lenEnd64 + lenLocator64 + lenEnd]byte
	if size < stubSize+int64(len(b)) {
		return ending{}, untrusted("%d bytes: cut short", size)
	}
	if _, err := r.ReadAt(b[:], size-int64(len(b))); err != nil && err != io.EOF {
		return ending{}, err
	}
	at := size - lenEnd
	e := b[lenEnd64+lenLocator64:]
	if le.Uint32(e) != sigEnd {
		return ending{}, untrusted("no end record at byte %d: cut short, or bytes were added", at)
	}
	end := ending{count: int(le.Uint16(e[10:])), size: int64(le.Uint32(e[12:])), off: int64(le.Uint32(e[16:]))}
	if le.Uint32(b[lenEnd64:]) == sigLocator64 && (end.count == bigCount || end.size == big || end.off == big) {
		if le.Uint32(b[:]) != sigEnd64 {
			return ending{}, untrusted("no ZIP64 end record at byte %d", size-int64(len(b)))
		}
		count := le.Uint64(b[32:])
		if count > maxEntries || le.Uint64(b[40:]) > maxSize || le.Uint64(b[48:]) > maxSize {
			return ending{}, untrusted("ZIP64 end record: out of range")
		}
		end = ending{count: int(count), size: int64(le.Uint64(b[40:])), off: int64(le.Uint64(b[48:]))}
		at = size - int64(len(b))
	}
	const longest = lenDirectory + len(prefixTrust) + maxName + 4 + 24
	if end.count > maxEntries || end.size > int64(end.count)*int64(longest) {
		return ending{}, untrusted("central directory of %d entries in %d bytes, at most %d", end.count, end.size, maxEntries)
	}
	if end.off+end.size != at {
		return ending{}, untrusted("central directory of %d bytes at byte %d does not end at byte %d", end.size, end.off, at)
	}
	return end, nil
}

// readDirectory returns what the central directory lists: names, sizes, checksums and places. It
// does not check the rest: compare does.
func readDirectory(r io.ReaderAt, end ending) ([]member, error) {
	b := make([]byte, end.size)
	if n, err := r.ReadAt(b, end.off); n < len(b) {
		return nil, untrusted("central directory: %w", err)
	}
	members := make([]member, 0, end.count)
	for len(b) > 0 {
		if len(members) == end.count || len(b) < lenDirectory || le.Uint32(b) != sigDirectory {
			return nil, untrusted("central directory: entry %d: damaged", len(members))
		}
		nameLen, extraLen := int(le.Uint16(b[28:])), int(le.Uint16(b[30:]))
		if len(b) < lenDirectory+nameLen+extraLen {
			return nil, untrusted("central directory: entry %d: cut short", len(members))
		}
		m := member{
			name:   string(b[lenDirectory : lenDirectory+nameLen]),
			crc:    le.Uint32(b[16:]),
			size:   int64(le.Uint32(b[24:])),
			packed: int64(le.Uint32(b[20:])),
			header: int64(le.Uint32(b[42:])),
		}
		if err := checkName(m.name); err != nil {
			return nil, untrusted("central directory: entry %d: %w", len(members), err)
		}
		method := le.Uint16(b[10:])
		if method != methodStored && (method != methodDeflate || m.digest() == "") {
			return nil, untrusted("%s: compressed (method %d)", m.name, method)
		}
		if mode := le.Uint32(b[38:]) >> 16; mode != fileMode {
			return nil, untrusted("%s: mode %o, want %o: a link, a device or another system's file", m.name, mode, fileMode)
		}
		extra := bytes.NewReader(b[lenDirectory+nameLen : lenDirectory+nameLen+extraLen])
		if err := m.widen(extra); err != nil {
			return nil, err
		}
		if method == methodStored {
			m.packed = 0 // the same as its size, which compare sees to
		}
		members = append(members, m)
		b = b[lenDirectory+nameLen+extraLen:]
	}
	if len(members) != end.count {
		return nil, untrusted("central directory: %d entries, its end says %d", len(members), end.count)
	}
	return members, nil
}

// widen reads the numbers that do not fit into 32 bits from the ZIP64 field.
func (m *member) widen(extra *bytes.Reader) error {
	if m.size != big && m.header != big {
		return nil
	}
	var head [4]byte
	if _, err := io.ReadFull(extra, head[:]); err != nil || le.Uint16(head[:]) != extra64 {
		return untrusted("%s: no ZIP64 field", m.name)
	}
	fields := []*int64{}
	if m.size == big {
		fields = append(fields, &m.size, &m.packed)
	}
	if m.header == big {
		fields = append(fields, &m.header)
	}
	for _, f := range fields {
		var b [8]byte
		if _, err := io.ReadFull(extra, b[:]); err != nil {
			return untrusted("%s: ZIP64 field: %w", m.name, err)
		}
		n := le.Uint64(b[:])
		if n > maxSize {
			return untrusted("%s: %d bytes", m.name, n)
		}
		*f = int64(n)
	}
	return nil
}
