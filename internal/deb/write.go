package deb

import (
	"archive/tar"
	"bytes"
	"crypto/md5" // what dpkg --verify compares with
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"overland/internal/deflate"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Member is a file, folder or symbolic link of a package. It belongs to root: what belongs to others is given to them
// by a script, for their numbers differ from machine to machine.
type Member struct {
	Name   string      // below the root: "usr/bin/wallet"
	Mode   fs.FileMode // permissions, with fs.ModeSetuid and its like; fs.ModeDir or fs.ModeSymlink for what is no file
	Target string      // of a symbolic link, as it is
	Size   int64       // of a file, in bytes
	Open   func() (io.ReadCloser, error)
}

// Field is one field of a control file. A line of Value after its first one continues it.
type Field struct{ Name, Value string }

// Binary is a binary package that is to be written.
type Binary struct {
	Time      time.Time         // of all that is in it
	Fields    []Field           // of its control file, in their order; Installed-Size comes before the last one
	Scripts   map[string]string // maintainer scripts, by name: "postinst"
	Conffiles []string          // absolute paths of Members
	Members   []Member          // folders above them are added, with mode 0755
}

// Limits of what is written.
const (
	maxMember   = 9_999_999_999 // bytes; the header of an ar archive has ten digits
	maxTarField = 1<<33 - 1     // bytes; a larger file needs a header that dpkg does not read
	kibi        = 1024
	scriptMode  = 0o755
	plainMode   = 0o644
	tarMode     = 0o777
)

// Write writes b to w, as dpkg-deb does: control files and data in gzip, by an encoder that does not change. Equal
// Binaries give equal bytes. The packed data lies in spool meanwhile, an empty file. What no package may have is
// errs.Invalid.
func (b Binary) Write(w io.Writer, spool io.ReadWriteSeeker) error {
	d := &data{time: b.Time, have: map[string]fs.FileMode{}}
	if err := d.write(spool, b.Members); err != nil {
		return err
	}
	control, err := b.control(d)
	if err != nil {
		return err
	}
	size, err := spool.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	a := &arWriter{w: w, time: b.Time}
	a.member("debian-binary", strings.NewReader("2.0\n"), int64(len("2.0\n")))
	a.member("control.tar.gz", bytes.NewReader(control), int64(len(control)))
	a.member("data.tar.gz", spool, size)
	return a.err
}

// control returns the packed control files of b, whose data is d.
func (b Binary) control(d *data) ([]byte, error) {
	fields := slices.Clone(b.Fields)
	last := max(len(fields)-1, 0) // the description
	text, err := Paragraphs(slices.Insert(fields, last, Field{"Installed-Size", fmt.Sprint(d.size / kibi)}))
	if err != nil {
		return nil, err
	}
	var conffiles strings.Builder
	for _, at := range b.Conffiles {
		if mode, ok := d.have[strings.TrimPrefix(at, "/")]; !ok || !mode.IsRegular() {
			return nil, errs.Errorf(errs.Invalid, "conffile %.200q: it is not a file of the package", at)
		}
		conffiles.WriteString(at + "\n")
	}
	files := map[string]string{"control": text, "md5sums": d.sums.String(), "conffiles": conffiles.String()}
	maps.Copy(files, b.Scripts)
	var out bytes.Buffer
	t, done, err := newTar(&out, b.Time)
	if err != nil {
		return nil, err
	}
	if err := t.add(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: scriptMode}); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == "" {
			continue
		}
		h := &tar.Header{Name: "./" + name, Typeflag: tar.TypeReg, Mode: plainMode, Size: int64(len(files[name]))}
		if _, script := b.Scripts[name]; script {
			h.Mode = scriptMode
		}
		if err := t.add(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(t, files[name]); err != nil {
			return nil, err
		}
	}
	err = done()
	return out.Bytes(), err
}

// Paragraphs returns list as a paragraph of deb822, with an empty line wherever list has an empty Field. A field of no
// value is left out. A value that would begin another field or paragraph is errs.Invalid.
func Paragraphs(list []Field) (string, error) {
	var text strings.Builder
	for _, f := range list {
		if f == (Field{}) {
			text.WriteByte('\n')
		}
		if f.Value == "" {
			continue
		}
		text.WriteString(f.Name + ":")
		for i, line := range strings.Split(strings.TrimRight(f.Value, "\n"), "\n") {
			switch {
			case strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
				return "", errs.Errorf(errs.Invalid, "%s: %.100q holds a control character", f.Name, line)
			case i == 0 && line == "":
			case i > 0 && strings.TrimSpace(line) == "":
				line = " ."
			default:
				line = " " + line
			}
			text.WriteString(line + "\n")
		}
	}
	return text.String(), nil
}

// data is the data of a package on its way.
type data struct {
	time time.Time
	have map[string]fs.FileMode // by name
	sums strings.Builder        // control file md5sums
	size int64                  // bytes, when it is installed: as dpkg-gencontrol counts, each file in whole KiB
	tar  *tarWriter
}

func (d *data) write(w io.Writer, members []Member) error {
	t, done, err := newTar(w, d.time)
	if err != nil {
		return err
	}
	d.tar = t
	for _, m := range members {
		if err := d.add(m); err != nil {
			return fmt.Errorf("%.200q: %w", m.Name, err)
		}
	}
	return done()
}

func (d *data) add(m Member) error {
	const bits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	kind := m.Mode.Type()
	_, twice := d.have[m.Name]
	switch {
	case !fs.ValidPath(m.Name) || m.Name == "." || strings.ContainsAny(m.Name, "\x00\n"):
		return errs.Errorf(errs.Invalid, "not a path below the root")
	case twice && kind == fs.ModeDir && d.have[m.Name].IsDir():
		return nil
	case twice:
		return errs.Errorf(errs.Invalid, "it is in the package already")
	case kind != 0 && kind != fs.ModeDir && kind != fs.ModeSymlink || m.Mode&^(bits|fs.ModeType) != 0:
		return errs.Errorf(errs.Invalid, "mode %s", m.Mode)
	case m.Size < 0 || m.Size > maxTarField:
		return errs.Errorf(errs.Invalid, "%d bytes", m.Size)
	}
	if err := d.above(m.Name); err != nil {
		return err
	}
	d.have[m.Name] = m.Mode
	h := &tar.Header{Name: "./" + m.Name, Typeflag: tar.TypeReg, Mode: fsx.ModeBits(m.Mode & bits), Size: m.Size}
	d.size += max(kibi, (m.Size+kibi-1)/kibi*kibi)
	switch kind {
	case fs.ModeDir:
		h.Typeflag, h.Name, h.Size = tar.TypeDir, h.Name+"/", 0
		return d.tar.add(h)
	case fs.ModeSymlink:
		if m.Target == "" || strings.ContainsRune(m.Target, 0) {
			return errs.Errorf(errs.Invalid, "a link to %.200q", m.Target)
		}
		h.Typeflag, h.Linkname, h.Mode, h.Size = tar.TypeSymlink, m.Target, tarMode, 0
		return d.tar.add(h)
	}
	if err := d.tar.add(h); err != nil {
		return err
	}
	r, err := m.Open()
	if err != nil {
		return err
	}
	sum := md5.New()
	n, err := io.CopyN(io.MultiWriter(d.tar, sum), r, m.Size)
	if errors.Is(err, io.EOF) {
		err = errs.Errorf(errs.Untrusted, "%d of %d bytes: %w", n, m.Size, io.ErrUnexpectedEOF)
	}
	d.sums.WriteString(hex.EncodeToString(sum.Sum(nil)) + "  " + m.Name + "\n")
	return errors.Join(err, r.Close())
}

// above adds the folders above name that are not there.
func (d *data) above(name string) error {
	dir := path.Dir(name)
	mode, there := d.have[dir]
	switch {
	case there && !mode.IsDir():
		return errs.Errorf(errs.Invalid, "%.200q, above it, is not a folder", dir)
	case there:
		return nil
	case dir == ".":
		d.have["."] = fs.ModeDir
		return d.tar.add(&tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: scriptMode})
	}
	return d.add(Member{Name: dir, Mode: fs.ModeDir | scriptMode})
}

// tarWriter writes a tar as dpkg reads it: in GNU's format, all of root and of one time.
type tarWriter struct {
	*tar.Writer
	time time.Time
}

func newTar(w io.Writer, at time.Time) (*tarWriter, func() error, error) {
	z, err := deflate.NewGzip(w)
	if err != nil {
		return nil, nil, err
	}
	t := tar.NewWriter(z)
	return &tarWriter{t, at}, func() error { return errors.Join(t.Close(), z.Close()) }, nil
}

func (t *tarWriter) add(h *tar.Header) error {
	h.Format, h.Uname, h.Gname, h.ModTime = tar.FormatGNU, "root", "root", t.time.UTC().Truncate(time.Second)
	return t.WriteHeader(h)
}

// arWriter writes an ar archive until its first error.
type arWriter struct {
	w     io.Writer
	time  time.Time
	begun bool
	err   error
}

func (a *arWriter) member(name string, r io.Reader, size int64) {
	if a.err != nil {
		return
	}
	if size > maxMember {
		a.err = errs.Errorf(errs.Invalid, "%s: %d bytes, and a package has room for %d", name, size, int64(maxMember))
		return
	}
	magic := arMagic
	if a.begun {
		magic = ""
	}
	a.begun = true
	at := min(max(a.time.Unix(), 0), math.MaxUint32)
	if _, a.err = fmt.Fprintf(a.w, "%s%-16s%-12d%-6d%-6d%-8s%-10d`\n", magic, name, at, 0, 0, "100644", size); a.err != nil {
		return
	}
	if _, a.err = io.CopyN(a.w, r, size); a.err == nil && size%2 == 1 {
		_, a.err = io.WriteString(a.w, "\n")
	}
}
