package archive_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"overland/internal/archive"
	"overland/internal/testkit/pack"
)

// all reads a tar to its end.
func all(b []byte, o archive.Bounds) (members int, err error) {
	t := archive.NewTar(bytes.NewReader(b), o)
	for {
		if _, err := t.Next(); errors.Is(err, io.EOF) {
			return members, nil
		} else if err != nil {
			return members, err
		}
		members++
		if _, err := io.Copy(io.Discard, io.LimitReader(t, 1<<20)); err != nil {
			return members, err
		}
	}
}

func TestBoundsOfATar(t *testing.T) {
	end := make([]byte, 1024)
	three := append(bytes.Repeat(pack.TarBlocks("a", "text"), 3), end...)
	small := pack.TarBlocks("a", "")
	huge := "4611686018427387904"
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	packed := func(n int64) func() int64 { return func() int64 { return n } }
	for what, c := range map[string]struct {
		tar    []byte
		bounds archive.Bounds
		bad    bool
	}{
		"no bound":                    {three, archive.Bounds{}, false},
		"as many members as it has":   {three, archive.Bounds{Members: 3}, false},
		"one less":                    {three, archive.Bounds{Members: 2}, true},
		"as many bytes":               {three, archive.Bounds{Bytes: 4096}, false},
		"one byte less":               {three, archive.Bounds{Bytes: 4095}, true},
		"as much as it may grow":      {three, archive.Bounds{Ratio: 10, Packed: packed(409)}, false},
		"more":                        {three, archive.Bounds{Ratio: 10, Packed: packed(408)}, true},
		"more, which is free":         {three, archive.Bounds{Ratio: 10, Packed: packed(1), Free: 4096}, false},
		"a MiB after its end":         {append(three, make([]byte, 1<<20)...), archive.Bounds{}, false},
		"more than a MiB after it":    {append(three, make([]byte, 1<<20+1024)...), archive.Bounds{}, true},
		"sparse, GNU's old form":      {join(pack.TarSparse("a", 4<<60), end), archive.Bounds{}, true},
		"sparse, form 0.0":            {join(pack.TarPAX([2]string{"GNU.sparse.size", huge}, [2]string{"GNU.sparse.numblocks", "1"}, [2]string{"GNU.sparse.offset", huge}, [2]string{"GNU.sparse.numbytes", "0"}), small, end), archive.Bounds{}, true},
		"sparse, form 0.1":            {join(pack.TarPAX([2]string{"GNU.sparse.size", huge}, [2]string{"GNU.sparse.map", huge + ",0"}), small, end), archive.Bounds{}, true},
		"sparse, form 1.0":            {join(pack.TarPAX([2]string{"GNU.sparse.major", "1"}, [2]string{"GNU.sparse.minor", "0"}, [2]string{"GNU.sparse.realsize", huge}), pack.TarBlocks("a", "0\n"+strings.Repeat("\x00", 510)), end), archive.Bounds{}, true},
		"headers without end":         {bytes.Repeat(pack.TarPAX([2]string{"comment", "c"}), 100), archive.Bounds{Bytes: 50 << 10}, true},
		"a header of more than a MiB": {join(pack.TarPAX([2]string{"comment", strings.Repeat("c", 1<<20)}), small, end), archive.Bounds{}, true},
	} {
		if n, err := all(c.tar, c.bounds); (err != nil) != c.bad {
			t.Errorf("%s: %d members, %v", what, n, err)
		}
	}
}

// An archive may list files without end, each a few bytes of the same content.
func TestBoundsOfAZip(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for range 100 {
		if _, err := w.Create("a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(b.Bytes())
	if z, err := archive.Zip(r, r.Size(), 64<<10); err != nil || len(z.File) != 100 {
		t.Errorf("%v, %v", z, err)
	}
	if _, err := archive.Zip(r, r.Size(), 4<<10); !errors.Is(err, archive.ErrBomb) {
		t.Errorf("%v", err)
	}
}

// program returns an ELF file of 64 bits whose only section holds the names of sections, of which it has none. flags and
// declared are what the section and its compression say; count is how many sections there are said to be.
func program(flags elf.SectionFlag, declared uint64, count uint16) []byte {
	le := binary.LittleEndian
	b := make([]byte, 64)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], uint16(elf.ET_EXEC))
	le.PutUint16(b[18:], uint16(elf.EM_X86_64))
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[40:], 64)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[58:], 64)
	le.PutUint16(b[60:], count)
	var content bytes.Buffer
	if flags&elf.SHF_COMPRESSED != 0 {
		head := make([]byte, 24)
		le.PutUint32(head, uint32(elf.COMPRESS_ZLIB))
		le.PutUint64(head[8:], declared)
		content.Write(head)
		z := zlib.NewWriter(&content)
		_, _ = z.Write(make([]byte, 1<<20))
		_ = z.Close()
	} else {
		content.WriteByte(0)
	}
	s := make([]byte, 64)
	le.PutUint32(s[4:], uint32(elf.SHT_STRTAB))
	le.PutUint64(s[8:], uint64(flags))
	le.PutUint64(s[24:], 128)
	le.PutUint64(s[32:], max(declared, uint64(content.Len())))
	if flags != 0 {
		le.PutUint64(s[32:], uint64(content.Len()))
	}
	return bytes.Join([][]byte{b, s, content.Bytes()}, nil)
}

// zeros is a file of which only the beginning takes room on a disk.
type zeros struct{ beginning []byte }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z.beginning)) {
		copy(p, z.beginning[off:])
	}
	return len(p), nil
}

// A program is read by its headers, which its maker writes: a few bytes may ask for all memory.
func TestBoundsOfAProgram(t *testing.T) {
	many := program(0, 0, 0)
	binary.LittleEndian.PutUint64(many[64+32:], 1<<32) // how many sections there are, when the header says 0
	for what, c := range map[string]struct {
		file io.ReaderAt
		bad  bool
	}{
		"honest":                      {bytes.NewReader(program(0, 0, 1)), false},
		"names that are a bomb":       {bytes.NewReader(program(elf.SHF_COMPRESSED, 1<<20, 1)), true},
		"names of 4 GiB":              {zeros{program(0, 4<<30, 1)}, true},
		"4 thousand million sections": {zeros{many}, true},
		"not a program":               {strings.NewReader("#!/bin/sh\n"), true},
	} {
		f, err := archive.ELF(c.file)
		if (err != nil) != c.bad || err == nil && f.Machine != elf.EM_X86_64 {
			t.Errorf("%s: %v", what, err)
		}
		if bomb := errors.Is(err, archive.ErrBomb); bomb != (c.bad && what != "not a program") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What is packed in any way that is known here is told by its first bytes, and unpacked.
func TestUnpacked(t *testing.T) {
	text := strings.Repeat("tea ", 1000)
	var gz, zs bytes.Buffer
	z, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []io.WriteCloser{gzip.NewWriter(&gz), z} {
		if _, err := io.WriteString(w, text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
	}
	packed := map[archive.Packing]string{archive.Plain: text, archive.Gzip: gz.String(), archive.Zstd: zs.String()}
	x := exec.CommandContext(t.Context(), "xz", "-c")
	x.Stdin, x.Env = strings.NewReader(text), []string{"PATH=" + os.Getenv("PATH")}
	out, err := x.Output()
	if err != nil {
		t.Fatal(err)
	}
	packed[archive.XZ] = string(out)
	for as, b := range packed {
		if got := archive.PackingOf([]byte(b)); got != as {
			t.Errorf("%s is taken for %s", as, got)
		}
		r, done, err := archive.Unpacked(strings.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", as, err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != text {
			t.Errorf("%s: %d bytes, %v", as, len(got), err)
		}
		done()
	}
	if _, _, err := archive.Unpack(strings.NewReader(""), "lzma"); err == nil {
		t.Error("a packing that is not known")
	}
	if r, done, err := archive.Unpacked(strings.NewReader("")); err != nil {
		t.Error(err)
	} else if got, err := io.ReadAll(r); err != nil || len(got) != 0 {
		t.Errorf("nothing: %q, %v", got, err)
		done()
	}
}
