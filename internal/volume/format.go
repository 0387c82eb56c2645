package volume

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"sort"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/trust"
)

// Limits of a volume. Seal and Open hold them alike.
const (
	version    = 3
	maxEntries = 1 << 17
	maxFile    = store.IndexLimit // bytes of index.json, of overland.json and of each file of metadata
	maxName    = trust.MetadataNameLimit
	maxSize    = 1 << 50 // bytes of a volume: sums of 64 bits stay far from overflow
)

// Names of entries.
const (
	nameLayout   = "oci-layout"
	nameDocument = "overland.json"
	nameIndex    = "index.json"
	prefixTrust  = "trust/"
	prefixBlob   = "blobs/sha256/"
)

// Lengths in bytes and other numbers of the ZIP format (APPNOTE.TXT
// 6.3.10, sections 4.3 and 4.5.3).
const (
	sigLocal     = 0x04034b50
	sigDirectory = 0x02014b50
	sigEnd       = 0x06054b50
	sigEnd64     = 0x06064b50
	sigLocator64 = 0x07064b50
	lenLocal     = 30
	lenDirectory = 46
	lenEnd       = 22
	lenEnd64     = 56
	lenLocator64 = 20
	offLocalCRC  = 14
	need         = 20       // version 2.0
	need64       = 45       // version 4.5: ZIP64
	madeUnix     = 3 << 8   // so that the mode counts
	dosDate      = 1<<5 | 1 // 1980-01-01, the first day that the format knows; the time is 0
	fileMode     = 0o100644 // regular, rw-r--r--
	extra64      = 1        // id of the ZIP64 extra field

	methodStored  = 0
	methodDeflate = 8
	big           = 0xffffffff // "see the ZIP64 field"
	bigCount      = 0xffff
)

// member is one entry and its place. Its bytes are stored as they are, or packed with DEFLATE.
type member struct {
	name   string
	size   int64 // of its content, bytes
	packed int64 // 0 = stored; else how long it is in the file, fewer bytes than its content
	crc    uint32
	header int64 // offset of the local header
	data   int64 // offset of the bytes
}

// length returns how many bytes m has in the file, without its header.
func (m *member) length() int64 { return cmp.Or(m.packed, m.size) }

func (m *member) end() int64 { return m.data + m.length() }

func (m *member) method() uint16 {
	if m.packed > 0 {
		return methodDeflate
	}
	return methodStored
}

// digest returns the name of a blob's entry as a digest, or "".
func (m *member) digest() digest.Digest {
	h, ok := strings.CutPrefix(m.name, prefixBlob)
	if !ok {
		return ""
	}
	return digest.Digest("sha256:" + h)
}

// arrange sorts the members into the one order that a volume of this content has, gives each its
// place, and returns where the central directory begins. The order: layout, document, index,
// metadata by name, agents as listed (so they sit near the front, where the stub finds them even in
// the first part), then the other blobs by digest.
func arrange(members []member, agents []Agent) (int64, error) {
	place := make(map[string]int, len(agents))
	for i, a := range agents {
		if _, ok := place[blobName(a.Digest)]; !ok { // one program may serve two platforms
			place[blobName(a.Digest)] = i
		}
	}
	rank := func(name string) int {
		switch {
		case name == nameLayout:
			return 0
		case name == nameDocument:
			return 1
		case name == nameIndex:
			return 2
		case strings.HasPrefix(name, prefixTrust):
			return 3
		}
		if i, ok := place[name]; ok {
			return 4 + i
		}
		return 4 + len(agents)
	}
	// Not slices.SortFunc, which costs the agent 15 KB for a struct of this size.
	sort.Slice(members, func(i, j int) bool {
		a, b := members[i].name, members[j].name
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) < 0
	})
	off := int64(stubSize)
	for i := range members {
		m := &members[i]
		if i > 0 && m.name == members[i-1].name {
			return 0, fmt.Errorf("%s appears twice", m.name)
		}
		if m.size < 0 || m.size > maxSize || m.packed < 0 || m.packed > 0 && m.packed >= m.size {
			return 0, fmt.Errorf("%s: size %d, %d in the file", m.name, m.size, m.length())
		}
		m.header = off
		m.data = off + lenLocal + int64(len(m.name)) + int64(len(localExtra(m)))
		if off = m.end(); off > maxSize {
			return 0, fmt.Errorf("more than %d bytes", int64(maxSize))
		}
	}
	return off, nil
}

func blobName(d digest.Digest) string { return prefixBlob + d.Encoded() }

// checkName refuses an entry name that no volume has. Whatever is not on the
// list cannot climb out of a folder.
func checkName(name string) error {
	switch name {
	case nameLayout, nameDocument, nameIndex:
		return nil
	}
	if h, ok := strings.CutPrefix(name, prefixBlob); ok {
		_, err := digest.FromHex(h)
		return err
	}
	if n, ok := strings.CutPrefix(name, prefixTrust); ok {
		return trust.CheckMetadataName(n)
	}
	return fmt.Errorf("entry %.100q has no place in a volume", name)
}

var le = binary.LittleEndian

func localExtra(m *member) []byte {
	if m.size < big {
		return nil
	}
	b := le.AppendUint16(nil, extra64)
	b = le.AppendUint16(b, 16)
	b = le.AppendUint64(b, uint64(m.size))
	return le.AppendUint64(b, uint64(m.length()))
}

// appendLocal appends the header that comes before the bytes of m.
func appendLocal(b []byte, m *member) []byte {
	extra := localExtra(m)
	b = le.AppendUint32(b, sigLocal)
	b = appendCommon(b, m, extra)
	b = append(b, m.name...)
	return append(b, extra...)
}

// appendCommon appends the fields that local headers and the central directory
// share, from "version needed" on.
func appendCommon(b []byte, m *member, extra []byte) []byte {
	v := uint16(need)
	if len(extra) > 0 {
		v = need64
	}
	b = le.AppendUint16(b, v)
	b = le.AppendUint16(b, 0) // flags
	b = le.AppendUint16(b, m.method())
	b = le.AppendUint16(b, 0) // time
	b = le.AppendUint16(b, dosDate)
	b = le.AppendUint32(b, m.crc)
	if m.size >= big { // both are in the ZIP64 field
		b = le.AppendUint32(le.AppendUint32(b, big), big)
	} else {
		b = le.AppendUint32(le.AppendUint32(b, uint32(m.length())), uint32(m.size))
	}
	b = le.AppendUint16(b, uint16(len(m.name)))
	return le.AppendUint16(b, uint16(len(extra)))
}

// appendDirectory appends the central directory's entry for m.
func appendDirectory(b []byte, m *member) []byte {
	var extra []byte
	if m.size >= big {
		extra = le.AppendUint64(le.AppendUint64(extra, uint64(m.size)), uint64(m.length()))
	}
	if m.header >= big {
		extra = le.AppendUint64(extra, uint64(m.header))
	}
	if extra != nil {
		head := le.AppendUint16(le.AppendUint16(nil, extra64), uint16(len(extra)))
		extra = append(head, extra...)
	}
	b = le.AppendUint32(b, sigDirectory)
	b = le.AppendUint16(b, madeUnix|need)
	b = appendCommon(b, m, extra)
	b = le.AppendUint16(b, 0) // comment
	b = le.AppendUint16(b, 0) // disk
	b = le.AppendUint16(b, 0) // internal attributes
	b = le.AppendUint32(b, fileMode<<16)
	b = le.AppendUint32(b, clamp(m.header))
	b = append(b, m.name...)
	return append(b, extra...)
}

// appendEnd appends the records that end a volume whose central
// directory is size bytes at offset off.
func appendEnd(b []byte, count int, off, size int64) []byte {
	if count >= bigCount || off >= big || size >= big {
		at := off + size
		b = le.AppendUint32(b, sigEnd64)
		b = le.AppendUint64(b, lenEnd64-12)
		b = le.AppendUint16(b, madeUnix|need64)
		b = le.AppendUint16(b, need64)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(count))
		b = le.AppendUint64(b, uint64(size))
		b = le.AppendUint64(b, uint64(off))
		b = le.AppendUint32(b, sigLocator64)
		b = le.AppendUint32(b, 0)
		b = le.AppendUint64(b, uint64(at))
		b = le.AppendUint32(b, 1)
	}
	n := uint16(min(count, bigCount))
	b = le.AppendUint32(b, sigEnd)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint16(b, n)
	b = le.AppendUint16(b, n)
	b = le.AppendUint32(b, clamp(size))
	b = le.AppendUint32(b, clamp(off))
	return le.AppendUint16(b, 0)
}

func clamp(n int64) uint32 { return uint32(min(n, big)) }

// tail returns the central directory and the end records, which follow
// the last member at offset off.
func tail(members []member, off int64) (directory, end []byte) {
	for i := range members {
		directory = appendDirectory(directory, &members[i])
	}
	return directory, appendEnd(nil, len(members), off, int64(len(directory)))
}

func untrusted(format string, args ...any) error { return errs.Errorf(errs.Untrusted, format, args...) }
