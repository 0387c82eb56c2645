package alpine_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
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

// As TestBombs, for what a package installs: whose .PKGINFO is right, for its maker wrote that too.
func TestAlpineDataThatIsABomb(t *testing.T) {
	end := make([]byte, 1024)
	huge := pack.TarBlocks("x", "")
	copy(huge[124:], "77777777777\x00") // 8 GiB - 1
	pack.TarSum(huge)
	for what, data := range map[string][]byte{
		"4 EB that are not there": pack.Gzip(append(pack.TarSparse("x", 4<<60), end...)),
		"GiBs of zeros":           append(pack.Gzip(huge), bytes.Repeat(pack.Gzip(make([]byte, 1<<20)), 300)...),
	} {
		info := fmt.Sprintf("pkgname = x\ndatahash = %x\n", sha256.Sum256(data))
		b := append(pack.Gzip(pack.TarBlocks(".PKGINFO", info)), data...)
		var got int64
		_, err := alpine.ReadArchive(bytes.NewReader(b), alpine.Contents{Data: func(_ *tar.Header, r io.Reader) error {
			n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<30))
			if got += n; n == 1<<30 {
				return errors.New("a GiB came")
			}
			return err
		}})
		if errs.KindOf(err) != errs.Untrusted || got > 320<<20 {
			t.Errorf("%s: %v, after %d bytes", what, err, got)
		}
	}
}
