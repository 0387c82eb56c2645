package alpine

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"overland/internal/archive"
	"overland/internal/errs"
)

const (
	signaturesLimit = 1 << 20  // bytes, unpacked, of a member with signatures
	controlLimit    = 64 << 20 // bytes, unpacked, of a package's control files
	signatureLimit  = 4 << 10  // bytes of a signature; RSA with 4096 bits has 512
	signatures      = 16       // of one file
	signPrefix      = ".SIGN."
	filesLimit      = 1 << 20 // of the data of a package
	ratioLimit      = 400     // bytes of the tar of the data for one byte of it, beyond the first freeLimit
	freeLimit       = 256 << 20
	entriesLimit    = 1000 // files of a control member, or beside an APKINDEX
)

// adb begins files of apk's format v3, packed ("ADBd", "ADBc") or not ("ADB.").
const adb = "ADB"

// members reads the gzip members of a file, one after the other, and knows where each ends.
type members struct {
	r   *bufio.Reader
	pos int64 // of the next byte of the file
	z   *gzip.Reader
	sum hash.Hash // of the bytes of this member so far; nil = not wanted
}

func newMembers(r io.Reader) *members { return &members{r: bufio.NewReaderSize(r, 64<<10)} }

// Read implements io.Reader for the decompressor, which with ReadByte takes no byte too many.
func (m *members) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.pos += int64(n)
	if m.sum != nil {
		m.sum.Write(p[:n])
	}
	return n, err
}

// ReadByte implements io.ByteReader.
func (m *members) ReadByte() (byte, error) {
	b, err := m.r.ReadByte()
	if err == nil {
		m.pos++
		if m.sum != nil {
			m.sum.Write([]byte{b})
		}
	}
	return b, err
}

// next returns what the next member holds, unpacked; io.EOF when there is none.
func (m *members) next() (io.Reader, error) {
	if _, err := m.r.Peek(1); err != nil {
		return nil, err // io.EOF
	}
	if m.sum != nil {
		m.sum.Reset()
	}
	var err error
	if m.z == nil {
		m.z, err = gzip.NewReader(m)
	} else {
		err = m.z.Reset(m)
	}
	if err != nil {
		return nil, unexpected(err)
	}
	m.z.Multistream(false)
	return m.z, nil
}

// signature stands before what it signs.
type signature struct {
	kind string // "RSA", "RSA256", "RSA512"
	key  string // name of the key's file
	b    []byte
}

// begin reads the members with signatures. It returns the signatures, the offset where what they
// sign begins, and the files of the member that begins there, positioned at the first of them.
func (m *members) begin() ([]signature, int64, *tarball, error) {
	if head, _ := m.r.Peek(len(adb)); string(head) == adb { // an error is the next reader's
		return nil, 0, nil, errs.Hint(errs.Errorf(errs.Invalid, "it is of apk's format v3 (ADB), which is not read here"),
			"take a repository whose index and packages are of v2, as those of Alpine's branches are")
	}
	var list []signature
	for {
		at := m.pos
		r, err := m.next()
		if err != nil {
			return nil, 0, nil, errs.E(errs.Untrusted, fmt.Errorf("before its content: %w", unexpected(err)))
		}
		files := newTarball(r, signaturesLimit)
		if err := files.next(); err != nil {
			return nil, 0, nil, unexpected(err)
		}
		if !strings.HasPrefix(files.h.Name, signPrefix) {
			return list, at, files, nil
		}
		if list, err = files.signatures(list); err != nil {
			return nil, 0, nil, err
		}
	}
}

// signatures returns list with those in the rest of t, which may hold nothing else.
func (t *tarball) signatures(list []signature) ([]signature, error) {
	for {
		s, ok := strings.CutPrefix(t.h.Name, signPrefix)
		kind, key, ok2 := strings.Cut(s, ".")
		if !ok || !ok2 || t.h.Size > signatureLimit || len(list) == signatures {
			return nil, errs.Errorf(errs.Untrusted, "%.100q among at most %d signatures", t.h.Name, signatures)
		}
		b, err := io.ReadAll(t.t)
		if err != nil {
			return nil, unexpected(err)
		}
		list = append(list, signature{kind, key, b})
		if err = t.next(); err != nil {
			return list, t.end(err)
		}
	}
}

// tarball is the files of a member.
type tarball struct {
	r *limited
	t *archive.Tar
	h *tar.Header // the file that t is at
}

func newTarball(r io.Reader, limit int64) *tarball {
	l := &limited{r, limit}
	return &tarball{r: l, t: archive.NewTar(l, archive.Bounds{Members: entriesLimit})}
}

// next goes to the next file; io.EOF when there is none, and the member was read to its end.
func (t *tarball) next() (err error) {
	if t.h, err = t.t.Next(); err != nil && !errors.Is(err, io.EOF) {
		return unexpected(err)
	}
	return err
}

// end returns err, the last error of next, but not io.EOF.
func (t *tarball) end(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return unexpected(err)
}

// unexpected returns err as errs.Untrusted: the file ends too early, or is not of this format.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil || errs.KindOf(err) == errs.Untrusted {
		return err
	}
	return errs.E(errs.Untrusted, err)
}

// limited reads at most n bytes of r; a longer r is errs.Untrusted.
type limited struct {
	r io.Reader
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.n <= 0 {
		// One byte more decides: the end may be right here.
		n, err := l.r.Read(p[:min(len(p), 1)])
		if n > 0 {
			return 0, errs.Errorf(errs.Untrusted, "too long, unpacked")
		}
		return 0, err
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.n)])
	l.n -= int64(n)
	return n, err
}
