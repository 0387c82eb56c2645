package alpine_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"overland/internal/alpine"
	"overland/internal/errs"
)

// sparse returns the tar header of a file of size bytes of which none is there (GNU's old form).
func sparse(name string, size uint64) []byte {
	const kind, magic, realSize = 156, 257, 483
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	b[kind] = tar.TypeGNUSparse
	copy(b[magic:], "ustar  \x00")
	b[realSize] = 0x80 // a number of base 256
	binary.BigEndian.PutUint64(b[realSize+4:], size)
	resum(b)
	return b
}

// member returns a gzip member with the blocks of a tar archive.
func member(blocks ...[]byte) []byte {
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	for _, b := range blocks {
		_, _ = z.Write(b)
	}
	_ = z.Close()
	return out.Bytes()
}

// archived returns a file in a tar archive that goes on.
func archived(name, text string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatUSTAR})
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return out.Bytes()
}

// Packages that are small and say that they are large, or that go on without end, are refused after the limits.
func TestBombs(t *testing.T) {
	end := make([]byte, 1024)
	ending := []byte(strings.Repeat("x", 512))
	header := archived("PaxHeaders/x", "30 comment=aaaaaaaaaaaaaaaaaaa\n")
	header[156] = tar.TypeXHeader
	resum(header[:512])
	for what, b := range map[string][]byte{
		"a .PKGINFO of 4 EB that has none":     member(sparse(".PKGINFO", 4<<60), end),
		"a signature of 4 EB that has none":    member(sparse(".SIGN.RSA.a", 4<<60), end),
		"a file of 4 EB before .PKGINFO":       member(sparse("a", 4<<60), end),
		"headers without end":                  member(bytes.Repeat(header, (64<<20)/len(header)+1), end),
		"files without end":                    member(bytes.Repeat(archived("a", ""), 2000), end),
		"members without content":              bytes.Repeat(member(), 1000),
		"members of empty archives":            bytes.Repeat(member(end), 1000),
		"signatures without end":               bytes.Repeat(member(archived(".SIGN.RSA.a", "x"), end), 100),
		"zeros behind the end of a signature":  member(archived(".SIGN.RSA.a", "x"), make([]byte, 2<<20)),
		"a name of MiB":                        member(long(2 << 20)),
		"rubbish":                              member(ending),
		"a size beyond the end of the archive": member(archived(".PKGINFO", "x")[:512]),
	} {
		if _, err := alpine.ReadPackage(bytes.NewReader(b)); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("a package of %d bytes, %s: %v", len(b), what, err)
		}
		if _, err := alpine.ReadIndex(bytes.NewReader(b)); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("an index of %d bytes, %s: %v", len(b), what, err)
		}
	}
}

// long returns a file whose name has n bytes (GNU's long name).
func long(n int) []byte {
	b := archived("././@LongLink", strings.Repeat("a", n))
	b[156] = tar.TypeGNULongName
	copy(b[257:], "ustar  \x00")
	resum(b[:512])
	return append(b, archived("a", "")...)
}

// resum sets the checksum of a tar header anew.
func resum(b []byte) {
	copy(b[148:], "        ")
	total := 0
	for _, c := range b {
		total += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", total))
}
