package alpine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1" // what the format has
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"overland/internal/archive"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Contents is who wants what is in a package. A nil func wants nothing of its part; what one leaves unread is skipped.
type Contents struct {
	Control func(name string, r io.Reader) error   // ".PKGINFO", ".post-install" and so on
	Data    func(h *tar.Header, r io.Reader) error // the files, as they are named there
	Info    func(p *Info) error                    // what .PKGINFO says, with the control sum, before the files
}

// ReadArchive reads r, a package, once and in order, and returns its size and control sum. That its data is what its
// control files say is known at the end only: then anything else is errs.Untrusted, whatever came before. Control files
// of more than 64 MiB or 1,000 files are refused as errs.Untrusted, and so are sparse files, and data of more than 400 times
// its packed size, beyond 256 MiB.
func ReadArchive(r io.Reader, to Contents) (Package, error) {
	m := newMembers(r)
	m.sum = sha1.New()
	_, _, files, err := m.begin()
	if err != nil {
		return Package{}, err
	}
	files.r.n = controlLimit
	var info []byte
	for err == nil {
		switch {
		case files.h.Name == ".PKGINFO" && info != nil:
			return Package{}, errs.Errorf(errs.Untrusted, "two files .PKGINFO")
		case files.h.Name == ".PKGINFO":
			if info, err = fsx.Read(files.t, ".PKGINFO", pkginfoLimit); err != nil {
				return Package{}, unexpected(err)
			}
		case to.Control != nil:
			if err := to.Control(files.h.Name, files.t); err != nil {
				return Package{}, err
			}
		}
		err = files.next()
	}
	if err := files.end(err); err != nil {
		return Package{}, err
	}
	if info == nil {
		return Package{}, errs.Errorf(errs.Untrusted, "no .PKGINFO before its data")
	}
	want, err := dataHash(bytes.NewReader(info))
	if err != nil {
		return Package{}, errs.E(errs.Untrusted, fmt.Errorf(".PKGINFO: %w", err))
	}
	got := Package{Control: [sha1.Size]byte(m.sum.Sum(nil))}
	m.sum = nil
	if to.Info != nil {
		p, err := ParsePkginfo(bytes.NewReader(info))
		if err == nil {
			p.Package.Control = got.Control
			err = to.Info(p)
		}
		if err != nil {
			return Package{}, err
		}
	}
	sum := sha256.New()
	data := io.TeeReader(m, sum)
	err = readData(data, to.Data)
	// What ends too early, or goes on, is first of all not what .PKGINFO says.
	if _, rest := io.Copy(io.Discard, data); rest != nil {
		return Package{}, rest
	}
	got.Size = m.pos
	if is := hex.EncodeToString(sum.Sum(nil)); is != want {
		return Package{}, errs.Errorf(errs.Untrusted, "its data is sha256 %s, its .PKGINFO says %s", is, want)
	}
	return got, err
}

// readData gives the files of r, the data of a package, to each.
func readData(r io.Reader, each func(h *tar.Header, r io.Reader) error) error {
	if each == nil {
		return nil
	}
	packed := &counted{r: r}
	z, err := gzip.NewReader(packed)
	if err != nil {
		return unexpected(err)
	}
	bounds := archive.Bounds{Members: filesLimit, Ratio: ratioLimit, Free: freeLimit, Packed: func() int64 { return packed.n }}
	for t := archive.NewTar(z, bounds); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return unexpected(err)
		}
		if err := each(h, t); err != nil {
			if broken := t.Failed(); broken != nil {
				return unexpected(broken)
			}
			return err
		}
	}
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
