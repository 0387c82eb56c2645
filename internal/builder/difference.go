package builder

import (
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"io"
	"time"

	"overland/internal/archive"
	"overland/internal/digest"
	"overland/internal/store"
)

// Limits of what is compared of two results: an archive may unpack to any size, and its list of files is held in memory.
const (
	compared  = 16 << 30 // bytes, unpacked, of all files
	listLimit = 64 << 20 // bytes of the list of a ZIP archive
	tabLimit  = 64 << 20 // bytes of a program's table of lines; Kubernetes' largest one has 30 MB
)

// Side is one of two results that are compared.
type Side struct {
	In     store.Opener
	Digest digest.Digest
	Image  bool // it is the manifest of an image
}

// Difference says in a few words where two results begin to differ, and what both have there: the first file in an
// archive or in a layer of an image, the section of a program and, where it is Go's code, the source file; else the byte.
func Difference(ctx context.Context, was, is Side) string {
	one, err := was.In.Open(ctx, was.Digest)
	if err != nil {
		return "the one before is not there any more"
	}
	defer one.Close()
	two, err := is.In.Open(ctx, is.Digest)
	if err != nil {
		return "it cannot be read"
	}
	defer two.Close()
	if was.Image && is.Image {
		if text, ok := firstLayer(ctx, was, is); ok {
			return text
		}
	}
	return different(ctx, one, two)
}

// different says where two blobs begin to differ.
func different(ctx context.Context, was, is store.Blob) string {
	if name, ok := firstMember(ctx, was, is, compared); ok {
		return "the first file that differs is " + name
	}
	d, _ := firstByte(was, is)
	if place, ok := firstPlace(was, d); ok {
		return place
	}
	return "they differ " + d.String()
}

// firstMember returns the name of the first file that differs in two archives, tar, tar.gz or zip, among the first most
// bytes of what they hold.
func firstMember(ctx context.Context, a, b store.Blob, most int64) (string, bool) {
	one, errA := archive.Zip(a, a.Size(), listLimit)
	two, errB := archive.Zip(b, b.Size(), listLimit)
	if errA == nil && errB == nil {
		return firstOf(zipped(ctx, one, most), zipped(ctx, two, most))
	}
	one2, doneA, errA := tarred(ctx, a, most)
	defer doneA()
	two2, doneB, errB := tarred(ctx, b, most)
	defer doneB()
	if errA != nil || errB != nil {
		return "", false
	}
	return firstOf(one2, two2)
}

// member is a file in an archive: its name, what is said of it, and its content.
type member struct {
	name, about string
	content     io.Reader
}

// members returns the files of an archive one after the other, and io.EOF.
type members func() (member, error)

func firstOf(a, b members) (string, bool) {
	for {
		one, errA := a()
		two, errB := b()
		switch {
		case errA != nil && errB != nil:
			return "", false // not an archive to the end, or the difference is in none of its files
		case errA != nil:
			return fmt.Sprintf("%q, which is new", two.name), true
		case errB != nil:
			return fmt.Sprintf("%q, which is missing now", one.name), true
		case one.name != two.name:
			return fmt.Sprintf("%q, where %q was before", two.name, one.name), true
		}
		if d, differ := firstByte(one.content, two.content); differ {
			return fmt.Sprintf("%q, %s", one.name, d), true
		}
		if one.about != two.about {
			return fmt.Sprintf("%q: not its content but its mode, owner or time (%s, now %s)", one.name, one.about, two.about), true
		}
	}
}

// reading bounds what is unpacked of one archive: its files may all be unpacked from the same bytes.
type reading struct {
	stop func() error
	r    io.Reader
	left *int64
}

func (l reading) Read(p []byte) (int, error) {
	if err := l.stop(); err != nil {
		return 0, err
	}
	if *l.left <= 0 {
		return 0, archive.ErrBomb
	}
	n, err := l.r.Read(p[:min(int64(len(p)), *l.left)])
	*l.left -= int64(n)
	return n, err
}

func zipped(ctx context.Context, z *zip.Reader, left int64) members {
	i := -1
	return func() (member, error) {
		if i++; i >= len(z.File) {
			return member{}, io.EOF
		}
		if left <= 0 {
			return member{}, archive.ErrBomb
		}
		f := z.File[i]
		content, err := f.Open()
		if err != nil {
			return member{}, err
		}
		about := fmt.Sprintf("%s %s", f.Mode(), f.Modified.UTC().Format(time.DateTime))
		return member{f.Name, about, reading{ctx.Err, content, &left}}, nil
	}
}

// tarred reads b as a tar archive, compressed or not, until the caller calls done. One that holds no file is an error.
func tarred(ctx context.Context, b store.Blob, left int64) (_ members, done func(), err error) {
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return nil, func() {}, err
	}
	content, done, err := archive.Unpacked(b)
	if err != nil {
		return nil, done, err
	}
	t := archive.NewTar(reading{ctx.Err, content, &left}, archive.Bounds{})
	first, err := t.Next()
	if err != nil {
		return nil, done, err
	}
	return func() (member, error) {
		h := first
		if first = nil; h == nil {
			if h, err = t.Next(); err != nil {
				return member{}, err
			}
		}
		about := fmt.Sprintf("%s %d:%d %s %s", h.FileInfo().Mode(), h.Uid, h.Gid, h.ModTime.UTC().Format(time.DateTime), h.Linkname)
		return member{h.Name, about, t}, nil
	}, done, nil
}

// spot is where two contents begin to differ, and what both have around it.
type spot struct {
	at      int64 // bytes
	was, is []byte
}

func (s spot) String() string { return fmt.Sprintf("from byte %d on: %q, now %q", s.at, s.was, s.is) }

// around returns what a spot shows of b, whose byte i is the first that differs.
func around(b []byte, i int) []byte {
	const before, after = 16, 32
	return bytes.Clone(b[max(0, i-before):min(len(b), i+after)])
}

// firstByte returns where a and b, read from their beginning if they can seek, begin to differ.
func firstByte(a, b io.Reader) (_ spot, differ bool) {
	for _, r := range []io.Reader{a, b} {
		if s, ok := r.(io.Seeker); ok {
			_, _ = s.Seek(0, io.SeekStart) // what cannot be read differs from its first byte on
		}
	}
	const ahead = 64 << 10
	one, two := make([]byte, ahead), make([]byte, ahead)
	for at := int64(0); ; {
		n, errA := io.ReadFull(a, one)
		m, errB := io.ReadFull(b, two)
		same := 0
		for same < min(n, m) && one[same] == two[same] {
			same++
		}
		if same < max(n, m) {
			return spot{at + int64(same), around(one[:n], same), around(two[:m], same)}, true
		}
		if errA != nil || errB != nil {
			return spot{}, false
		}
		at += int64(n)
	}
}

// firstPlace says where the spot d of a program lies.
func firstPlace(program io.ReaderAt, d spot) (string, bool) {
	f, err := archive.ELF(program)
	if err != nil {
		return "", false
	}
	at := d.at
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS || at < int64(s.Offset) || at >= int64(s.Offset+s.FileSize) {
			continue
		}
		place := fmt.Sprintf("they differ in section %s %s", s.Name, d)
		if file := goFile(f, s, uint64(at)-s.Offset); file != "" {
			return fmt.Sprintf("the first file that differs is %s (%s)", file, place), true
		}
		return place, true
	}
	return "", false
}

// goFile returns the source file of the code at offset off of section s, if it is Go's.
func goFile(f *elf.File, s *elf.Section, off uint64) string {
	lines := f.Section(".gopclntab")
	if s.Name != ".text" || lines == nil || lines.Flags&elf.SHF_COMPRESSED != 0 || lines.FileSize > tabLimit {
		return ""
	}
	data, err := lines.Data()
	if err != nil {
		return ""
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(data, s.Addr))
	if err != nil {
		return ""
	}
	file, _, _ := table.PCToLine(s.Addr + off)
	return file
}
