package deb_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/testkit/pack"
)

// ar returns a package whose data is what is given.
func ar(name string, data []byte) io.Reader {
	head := func(name string, n int) string {
		return fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", n)
	}
	control := pack.Gzip(append(pack.TarBlocks("./control", "Package: x\n"), make([]byte, 1024)...))
	pad := strings.Repeat("\n", len(control)%2)
	return io.MultiReader(strings.NewReader("!<arch>\n"+head("debian-binary", 4)+"2.0\n"+head("control.tar.gz", len(control))+string(control)+pad+
		head(name, len(data))), bytes.NewReader(data))
}

// Packages that are small and unpack to what has no end are refused after the limits.
func TestDebianBombs(t *testing.T) {
	end := make([]byte, 1024)
	small := pack.TarBlocks("./x", "")
	huge := pack.TarBlocks("./x", "")
	copy(huge[124:], "77777777777\x00") // 8 GiB - 1
	pack.TarSum(huge)
	comment := pack.TarPAX([2]string{"comment", strings.Repeat("a", 900<<10)})
	for what, b := range map[string]io.Reader{
		"GiBs of zeros":             ar("data.tar.gz", append(pack.Gzip(huge), bytes.Repeat(pack.Gzip(make([]byte, 1<<20)), 300)...)),
		"4 EB in GNU's old form":    ar("data.tar", append(pack.TarSparse("./x", 4<<60), end...)),
		"4 EB in the form 0.1":      ar("data.tar", bytes.Join([][]byte{pack.TarPAX([2]string{"GNU.sparse.size", "4611686018427387904"}, [2]string{"GNU.sparse.map", "0,0"}), small, end}, nil)),
		"4 EB in the form 1.0":      ar("data.tar", bytes.Join([][]byte{pack.TarPAX([2]string{"GNU.sparse.major", "1"}, [2]string{"GNU.sparse.minor", "0"}, [2]string{"GNU.sparse.realsize", "4611686018427387904"}), pack.TarBlocks("./x", "0\n"+strings.Repeat("\x00", 510)), end}, nil)),
		"a size in a PAX header":    ar("data.tar", bytes.Join([][]byte{pack.TarPAX([2]string{"size", "4611686018427387904"}), small, end}, nil)),
		"a name in a PAX header":    ar("data.tar", bytes.Join([][]byte{pack.TarPAX([2]string{"path", "../../etc/passwd"}), small, end}, nil)),
		"PAX headers without end":   ar("data.tar.gz", bytes.Repeat(pack.Gzip(comment), 300)),
		"a dictionary of 4 GiB":     ar("data.tar.xz", dictionary()),
		"a window of 512 MiB":       ar("data.tar.zst", []byte("\x28\xb5\x2f\xfd\x00\x98\x01\x00\x00")),
		"zeros behind its end":      ar("data.tar.gz", pack.Gzip(make([]byte, 3<<20))),
		"a size beyond the package": ar("data.tar", pack.TarBlocks("./x", "x")[:512]),
	} {
		var got int64
		err := deb.ReadArchive(b, deb.Contents{Data: func(_ *tar.Header, r io.Reader) error {
			n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<30))
			if got += n; n == 1<<30 {
				return fmt.Errorf("a GiB came")
			}
			return err
		}})
		if errs.KindOf(err) != errs.Invalid || got > 320<<20 {
			t.Errorf("%s: %v, after %d bytes", what, err, got)
		}
	}
}
