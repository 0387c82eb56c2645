package inspect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"overland/internal/errs"
	"overland/internal/nodeapi"
)

const (
	sectionsMax = 1 << 10 // of an ELF file
	infoMax     = 4 << 20 // bytes that the linker leaves in a program
)

// ReadProgram reads what the Go linker left in the Linux program r of size bytes, in
// place. Another file is errs.Invalid. debug/buildinfo reads the same of more formats, without bounds for
// what a file says of itself, and would make the agent 330 KB larger.
func ReadProgram(r io.ReaderAt, size int64) (nodeapi.Program, error) {
	p := nodeapi.Program{Size: size}
	off, err := buildInfoOffset(r)
	if err != nil {
		return p, err
	}
	version, mod, err := readBuildInfo(io.NewSectionReader(r, off, infoMax))
	if err != nil {
		return p, err
	}
	info, err := debug.ParseBuildInfo(mod)
	if err != nil {
		return p, errs.E(errs.Invalid, err)
	}
	info.GoVersion = version
	Describe(&p, info)
	return p, nil
}

// Describe fills in what info says of the program p.
func Describe(p *nodeapi.Program, info *debug.BuildInfo) {
	p.Go, p.Package, p.Modules = info.GoVersion, info.Path, nil
	if info.Main.Path != "" {
		p.Modules = append(p.Modules, nodeapi.Module{Path: info.Main.Path})
	}
	for _, m := range info.Deps {
		entry := nodeapi.Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
		if r := m.Replace; r != nil {
			entry.Sum = r.Sum
			entry.Replace = strings.TrimSpace(r.Path + " " + strings.TrimPrefix(r.Version, "(devel)"))
		}
		p.Modules = append(p.Modules, entry)
	}
}

// buildInfoOffset returns where the section .go.buildinfo begins in the ELF file r.
func buildInfoOffset(r io.ReaderAt) (int64, error) {
	bad := func(why string) (int64, error) { return 0, errs.Errorf(errs.Invalid, "not a Go program: %s", why) }
	head := make([]byte, 64)
	if _, err := r.ReadAt(head, 0); err != nil || string(head[:4]) != "\x7fELF" || head[5] != 1 {
		return bad("not a little-endian ELF file")
	}
	le := binary.LittleEndian
	// Where the fields stand: of the file header, then of a section header.
	var table, entry int64
	var count, names int
	place := func(section []byte) (off, length int64) {
		return int64(le.Uint64(section[24:])), int64(le.Uint64(section[32:]))
	}
	switch head[4] {
	case 1: // 32 bits
		table, entry = int64(le.Uint32(head[32:])), int64(le.Uint16(head[46:]))
		count, names = int(le.Uint16(head[48:])), int(le.Uint16(head[50:]))
		place = func(section []byte) (off, length int64) {
			return int64(le.Uint32(section[16:])), int64(le.Uint32(section[20:]))
		}
	case 2:
		table, entry = int64(le.Uint64(head[40:])), int64(le.Uint16(head[58:]))
		count, names = int(le.Uint16(head[60:])), int(le.Uint16(head[62:]))
	default:
		return bad("neither 32 nor 64 bits")
	}
	if table <= 0 || entry < 40 || (head[4] == 2 && entry < 64) || count > sectionsMax || names >= count {
		return bad("no sections")
	}
	sections := make([]byte, entry*int64(count))
	if _, err := r.ReadAt(sections, table); err != nil {
		return bad("cut short")
	}
	section := func(i int) []byte { return sections[int64(i)*entry : int64(i+1)*entry] }
	off, length := place(section(names))
	if off < 0 || length < 0 || length > infoMax {
		return bad("no names of sections")
	}
	text := make([]byte, length)
	if _, err := r.ReadAt(text, off); err != nil {
		return bad("cut short")
	}
	for i := range count {
		s := section(i)
		name := le.Uint32(s)
		if int64(name) < length && bytes.HasPrefix(text[name:], []byte(".go.buildinfo\x00")) {
			if off, _ := place(s); off > 0 {
				return off, nil
			}
		}
	}
	return bad("no section .go.buildinfo")
}

// readBuildInfo reads the version of Go and the list of modules as Go's linker writes them since
// 1.18: a header of 32 bytes and two strings, each after its length.
func readBuildInfo(r io.Reader) (version, mod string, err error) {
	const inline, header = 2, 32
	head := make([]byte, header)
	if _, err := io.ReadFull(r, head); err != nil || string(head[:14]) != "\xff Go buildinf:" || head[15]&inline == 0 {
		return "", "", errs.Errorf(errs.Invalid, "not a Go program: no build information in it")
	}
	in := byteReader{r}
	for _, to := range []*string{&version, &mod} {
		n, err := binary.ReadUvarint(in)
		if err != nil || n > infoMax {
			return "", "", errs.Errorf(errs.Invalid, "build information: a string of %d bytes", n)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return "", "", errs.E(errs.Invalid, fmt.Errorf("build information: %w", err))
		}
		*to = string(b)
	}
	const mark = 16 // bytes before and after the list, by which a debugger finds it
	if n := len(mod); n >= 2*mark+1 && mod[n-mark-1] == '\n' {
		return version, mod[mark : n-mark], nil
	}
	return version, "", nil
}

// byteReader reads single bytes of r, as binary.ReadUvarint wants them.
type byteReader struct{ io.Reader }

func (c byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(c, b[:])
	return b[0], err
}
