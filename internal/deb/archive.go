package deb

import (
	"archive/tar"
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	arMagic      = "!<arch>\n"
	arHeader     = 60
	controlLimit = 64 << 20 // bytes of a package's control files, unpacked; the largest ones known have 10 MB
	ratioLimit   = 400      // bytes for one byte of the package, beyond the first freeLimit
	freeLimit    = 256 << 20
	membersLimit = 1 << 20 // of each of both
)

// Contents are what ReadArchive calls while it reads a package. A nil one is not called.
type Contents struct {
	// Control gets each control file that is a regular one, by its name: "control", "postinst".
	Control func(name string, r io.Reader) error
	// Data gets each entry of the package's files in their order, as it stands there. When it is nil, the
	// rest of the package is not read.
	Data func(h *tar.Header, r io.Reader) error
}

// ReadArchive reads r, a binary package (deb(5), format 2.0) with control files and data in xz, gzip,
// zstd or plain tar. What is not such a package is errs.Invalid, and so are data of more than 400
// times the package's size, once they are more than 256 MiB, sparse files, and headers of PAX: dpkg takes neither,
// and what PAX says of a file would be true here alone. An error of c is returned as it is.
func ReadArchive(r io.Reader, c Contents) error {
	in := &counted{r: r}
	b := bufio.NewReaderSize(in, 64<<10)
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(b, magic); err != nil || string(magic) != arMagic {
		return notArchive(errors.New("it is not an ar archive"))
	}
	for _, want := range []string{"debian-binary", "control.tar", "data.tar"} {
		name, size, err := arMember(b)
		if err != nil {
			return notArchive(err)
		}
		if name != want && !strings.HasPrefix(name, want+".") {
			return notArchive(fmt.Errorf("%.20q where %s should be", name, want))
		}
		member := io.LimitReader(b, size)
		switch want {
		case "debian-binary":
			var version []byte
			if version, err = fsx.Read(member, name, arHeader); err == nil && !strings.HasPrefix(string(version), "2.") {
				err = fmt.Errorf("its format is %.20q", version)
			}
		case "control.tar":
			err = readTar(name, member, archive.Bounds{Members: membersLimit, Bytes: controlLimit}, func(h *tar.Header, r io.Reader) error {
				if c.Control == nil || h.Typeflag != tar.TypeReg {
					return nil
				}
				return c.Control(strings.TrimPrefix(h.Name, "./"), r)
			})
		case "data.tar":
			if c.Data == nil {
				return nil
			}
			packed := func() int64 { return in.n }
			err = readTar(name, member, archive.Bounds{Members: membersLimit, Ratio: ratioLimit, Free: freeLimit, Packed: packed}, c.Data)
		}
		var own *given
		if errors.As(err, &own) {
			return own.error
		}
		if err == nil {
			_, err = io.Copy(io.Discard, member)
		}
		if err == nil && size%2 == 1 {
			_, err = b.Discard(1)
		}
		if err != nil && (!errors.Is(err, io.EOF) || want != "data.tar") { // the last byte of padding may be missing
			return notArchive(err)
		}
	}
	_, err := io.Copy(io.Discard, b)
	return err
}

func notArchive(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return errs.E(errs.Invalid, fmt.Errorf("not a Debian package: %w", err))
}

// given wraps an error of the caller's, which is not the package's.
type given struct{ error }

// arMember reads the header of the next member of an ar archive.
func arMember(r io.Reader) (name string, size int64, err error) {
	h := make([]byte, arHeader)
	if _, err := io.ReadFull(r, h); err != nil {
		return "", 0, err
	}
	if string(h[58:]) != "`\n" {
		return "", 0, errors.New("a broken header in an ar archive")
	}
	size, err = strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 {
		return "", 0, fmt.Errorf("size %.10q in an ar archive", h[48:58])
	}
	return strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/"), size, nil
}

// readTar calls each with the entries of r, which is packed as name says.
func readTar(name string, r io.Reader, bounds archive.Bounds, each func(*tar.Header, io.Reader) error) error {
	u, done, err := unpackAs(name, r)
	if err != nil {
		return err
	}
	defer done()
	t := archive.NewTar(u, bounds)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Format == tar.FormatPAX {
			return fmt.Errorf("%.200q has a header of PAX", h.Name)
		}
		if err := each(h, t); err != nil {
			return cmp.Or[error](t.Failed(), &given{err})
		}
	}
}

// unpackAs returns what r holds, which is packed as the end of name says: dpkg goes by that, and not by what is in it.
func unpackAs(name string, r io.Reader) (io.Reader, func(), error) {
	_, kind, _ := strings.Cut(name, ".tar")
	as, ok := map[string]archive.Packing{"": archive.Plain, ".xz": archive.XZ, ".gz": archive.Gzip, ".zst": archive.Zstd}[kind]
	if !ok {
		return nil, nil, fmt.Errorf("%.20q is packed in a way that is not known here", name)
	}
	return archive.Unpack(r, as)
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
