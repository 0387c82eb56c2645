package pack

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
)

// TarBlocks returns a member of a tar that goes on: its header and text, filled to whole blocks of 512 bytes.
func TarBlocks(name, text string) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	must(w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatUSTAR}))
	_, err := w.Write([]byte(text))
	must(err)
	must(w.Flush())
	return out.Bytes()
}

// TarPAX returns the records name=value as a header of a tar, for the member that follows.
func TarPAX(records ...[2]string) []byte {
	text := ""
	for _, r := range records {
		body := fmt.Sprintf(" %s=%s\n", r[0], r[1])
		n := len(body)
		for n != len(body)+len(fmt.Sprint(n)) {
			n = len(body) + len(fmt.Sprint(n))
		}
		text += fmt.Sprint(n) + body
	}
	b := TarBlocks("PaxHeaders/x", text)
	b[156] = tar.TypeXHeader
	TarSum(b)
	return b
}

// TarSparse returns a member of size bytes of which none is there, in GNU's old form.
func TarSparse(name string, size uint64) []byte {
	const kind, magic, realSize = 156, 257, 483
	b := make([]byte, 512)
	copy(b, name)
	copy(b[100:], "0000644\x000000000\x000000000\x0000000000000\x0000000000000\x00")
	b[kind] = tar.TypeGNUSparse
	copy(b[magic:], "ustar  \x00")
	b[realSize] = 0x80 // a number of base 256
	binary.BigEndian.PutUint64(b[realSize+4:], size)
	TarSum(b)
	return b
}

// TarSum sets the checksum of the tar header b.
func TarSum(b []byte) {
	b = b[:512]
	copy(b[148:], "        ")
	total := 0
	for _, c := range b {
		total += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", total))
}

// Gzip returns b, packed.
func Gzip(b []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	must(err)
	_, err = z.Write(b)
	must(err)
	must(z.Close())
	return out.Bytes()
}
