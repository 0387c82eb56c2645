package builder

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"debug/elf"
	"debug/gosym"
	"fmt"
	"io"
	"time"

	"overland/internal/digest"
	"overland/internal/store"
)

// compared is how many bytes of two results are compared at most: an archive may unpack to any size.
const compared = 16 << 30

// difference says in a few words where the results a and b begin to differ: the first file in an
// archive, the section of a program and, where it is Go's code, the source file; else the byte.
func (r *run) difference(ctx context.Context, a, b digest.Digest) string {
	was, err := r.depot.Open(ctx, a)
	if err != nil {
		return "the one before is not in the depot"
	}
	defer was.Close()
	is, err := r.depot.Open(ctx, b)
	if err != nil {
		return "it cannot be read"
	}
	defer is.Close()
	if name, ok := firstMember(was, is); ok {
		return "the first file that differs is " + name
	}
	at := firstByte(was, is)
	if place, ok := firstPlace(was, at); ok {
		return place
	}
	return fmt.Sprintf("they differ from byte %d on", at)
}

// firstMember returns the name of the first file that differs in two archives, tar, tar.gz or zip.
func firstMember(a, b store.Blob) (string, bool) {
	one, errA := zip.NewReader(a, a.Size())
	two, errB := zip.NewReader(b, b.Size())
	if errA == nil && errB == nil {
		return firstOf(zipped(one), zipped(two))
	}
	one2, errA := tarred(a)
	two2, errB := tarred(b)
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
		case firstByte(one.content, two.content) >= 0:
			return fmt.Sprintf("%q", one.name), true
		case one.about != two.about:
			return fmt.Sprintf("%q: not its content but its mode, owner or time (%s, now %s)", one.name, one.about, two.about), true
		}
	}
}

func zipped(z *zip.Reader) members {
	i := -1
	return func() (member, error) {
		if i++; i >= len(z.File) {
			return member{}, io.EOF
		}
		f := z.File[i]
		content, err := f.Open()
		if err != nil {
			return member{}, err
		}
		return member{f.Name, fmt.Sprintf("%s %s", f.Mode(), f.Modified.UTC().Format(time.DateTime)), io.LimitReader(content, compared)}, nil
	}
}

// tarred reads b as a tar archive, compressed by gzip or not. One that holds no file is an error.
func tarred(b store.Blob) (members, error) {
	if _, err := b.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	in := bufio.NewReader(io.LimitReader(b, compared))
	var content io.Reader = in
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		content = io.LimitReader(z, compared)
	}
	t := tar.NewReader(content)
	first, err := t.Next()
	if err != nil {
		return nil, err
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
	}, nil
}

// firstByte returns where a and b, read from their beginning if they can seek, begin to differ; -1
// when they do not.
func firstByte(a, b io.Reader) int64 {
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
		for i := range min(n, m) {
			if one[i] != two[i] {
				return at + int64(i)
			}
		}
		if n != m {
			return at + int64(min(n, m))
		}
		if errA != nil || errB != nil {
			return -1
		}
		at += int64(n)
	}
}

// firstPlace says where byte at of a program lies.
func firstPlace(program io.ReaderAt, at int64) (string, bool) {
	f, err := elf.NewFile(program)
	if err != nil {
		return "", false
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS || at < int64(s.Offset) || at >= int64(s.Offset+s.FileSize) {
			continue
		}
		place := fmt.Sprintf("they differ from byte %d on, in section %s", at, s.Name)
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
	if s.Name != ".text" || lines == nil {
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
