package alpine_test

import (
	"archive/tar"
	"bytes"
	"strings"
	"testing"

	"overland/internal/alpine"
	"overland/internal/errs"
	"overland/internal/testkit/pack"
)

// Packages that are small and say that they are large, or that go on without end, are refused after the limits.
func TestBombs(t *testing.T) {
	end := make([]byte, 1024)
	ending := []byte(strings.Repeat("x", 512))
	header := pack.TarPAX([2]string{"comment", "aaaaaaaaaaaaaaaaaaa"})
	member := func(blocks ...[]byte) []byte { return pack.Gzip(bytes.Join(blocks, nil)) }
	for what, b := range map[string][]byte{
		"a .PKGINFO of 4 EB that has none":     member(pack.TarSparse(".PKGINFO", 4<<60), end),
		"a signature of 4 EB that has none":    member(pack.TarSparse(".SIGN.RSA.a", 4<<60), end),
		"a file of 4 EB before .PKGINFO":       member(pack.TarSparse("a", 4<<60), end),
		"headers without end":                  member(bytes.Repeat(header, (64<<20)/len(header)+1), end),
		"files without end":                    member(bytes.Repeat(pack.TarBlocks("a", ""), 2000), end),
		"members without content":              bytes.Repeat(member(), 1000),
		"members of empty archives":            bytes.Repeat(member(end), 1000),
		"signatures without end":               bytes.Repeat(member(pack.TarBlocks(".SIGN.RSA.a", "x"), end), 100),
		"zeros behind the end of a signature":  member(pack.TarBlocks(".SIGN.RSA.a", "x"), make([]byte, 2<<20)),
		"a name of MiB":                        member(long(2 << 20)),
		"rubbish":                              member(ending),
		"a size beyond the end of the archive": member(pack.TarBlocks(".PKGINFO", "x")[:512]),
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
	b := pack.TarBlocks("././@LongLink", strings.Repeat("a", n))
	b[156] = tar.TypeGNULongName
	copy(b[257:], "ustar  \x00")
	pack.TarSum(b)
	return append(b, pack.TarBlocks("a", "")...)
}
