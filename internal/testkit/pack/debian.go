package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"overland/internal/clock"
)

// DebianBirth is when all of a Debian archive was made.
var DebianBirth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// DebEntry is an entry of a package's files: a regular file of Text unless Header says otherwise.
type DebEntry struct {
	Name, Text string
	Header     tar.Header // Typeflag, Mode, Linkname …; the zero value is a file that all may read
}

// Deb returns a binary package with these control files ("control" and what else is named) and entries.
func Deb(control map[string]string, entries ...DebEntry) []byte {
	var files []DebEntry
	for _, name := range []string{"control", "md5sums", "preinst", "postinst", "triggers"} {
		if text, ok := control[name]; ok {
			files = append(files, DebEntry{Name: "./" + name, Text: text})
		}
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	member := func(name string, content []byte) {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, DebianBirth.Unix(), 0, 0, "100644", len(content))
		b.Write(content)
		if len(content)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	member("debian-binary", []byte("2.0\n"))
	member("control.tar.gz", debTar(files))
	member("data.tar.gz", debTar(entries))
	return b.Bytes()
}

func debTar(entries []DebEntry) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, e := range entries {
		h := e.Header
		h.Name = e.Name
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
			if strings.HasSuffix(e.Name, "/") {
				h.Typeflag = tar.TypeDir
			}
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.ModTime.IsZero() {
			h.ModTime = DebianBirth
		}
		h.Size = int64(len(e.Text))
		must(t.WriteHeader(&h))
		_, err := t.Write([]byte(e.Text))
		must(err)
	}
	must(t.Close())
	must(z.Close())
	return b.Bytes()
}

// DebStanza returns what an index says of a package in the file rel.
func DebStanza(control, rel string, deb []byte) string {
	return fmt.Sprintf("%s\nFilename: %s\nSize: %d\nSHA256: %x\n", strings.TrimRight(control, "\n"), rel, len(deb), sha256.Sum256(deb))
}

// DebianRelease returns an InRelease of a suite, signed by key, that lists files, by their paths below it.
func DebianRelease(key *openpgp.Entity, suite string, files map[string][]byte) []byte {
	text := fmt.Sprintf("Suite: %s\nCodename: %s\nDate: %s\nSHA256:\n", suite, suite, DebianBirth.Format("Mon, 02 Jan 2006 15:04:05 UTC"))
	for name, b := range files {
		text += fmt.Sprintf(" %x %d %s\n", sha256.Sum256(b), len(b), name)
	}
	return ClearSign(key, text, &packet.Config{Time: clock.At(DebianBirth.Add(time.Hour))})
}
