package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	// MaxParts is the largest number of parts.
	MaxParts = 999
	// PartsSuffix ends the name of the list of parts.
	PartsSuffix = ".parts"

	tempMark    = ".tmp-" // see fsx.FS.Create
	maxManifest = MaxParts * (2*digest.Size + 300)
)

func invalid(format string, args ...any) error { return errs.Errorf(errs.Invalid, format, args...) }

// PartName returns the path of a part, counted from 0, of the volume path.
func PartName(path string, part int) string { return fmt.Sprintf("%s.%03d", path, part+1) }

// trimPart returns path without a part's number at its end.
func trimPart(path string) string {
	const n = len(".001")
	if len(path) <= n || path[len(path)-n] != '.' || strings.Trim(path[len(path)-n+1:], "0123456789") != "" {
		return path
	}
	return path[:len(path)-n]
}

// cutTemp returns the name of the file that the temporary file name would have become.
func cutTemp(name string) (string, bool) {
	name, ok := strings.CutPrefix(name, ".")
	i := strings.LastIndex(name, tempMark)
	if !ok || i < 0 {
		return "", false
	}
	return name[:i], true
}

// manifest is FILE.parts: the digests of the parts, in order. It is text that `sha256sum -c` reads.
type manifest []digest.Digest

func (m manifest) marshal(path string) []byte {
	var b bytes.Buffer
	for i, d := range m {
		fmt.Fprintf(&b, "%s  %s\n", d.Encoded(), filepath.Base(PartName(path, i)))
	}
	return b.Bytes()
}

// parseManifest accepts only the bytes that marshal makes.
func parseManifest(b []byte, path string) (manifest, error) {
	var m manifest
	for line := range strings.Lines(string(b)) {
		d, err := digest.FromHex(line[:min(len(line), 2*digest.Size)])
		if err != nil {
			return nil, err
		}
		if m = append(m, d); len(m) > MaxParts {
			return nil, fmt.Errorf("more than %d parts", MaxParts)
		}
	}
	if len(m) == 0 || !bytes.Equal(b, m.marshal(path)) {
		return nil, fmt.Errorf("does not list %s and so on", filepath.Base(PartName(path, 0)))
	}
	return m, nil
}

// pieces are the files that hold the bytes of a volume: one, or parts one after the other.
type pieces struct {
	path   string // without a part's number
	files  []*os.File
	sizes  []int64
	size   int64
	parts  manifest // nil for one file
	lonely bool     // one file that is named like a part

	patience *fsx.Patience // where anybody may have put it: no link is followed. nil = a person named it
}

// findPieces is openPieces with patience, unless that is nil.
func findPieces(path string, patience *fsx.Patience) (*pieces, error) {
	if patience == nil {
		return openPieces(path, nil)
	}
	type opened struct {
		s   *pieces
		err error
	}
	o, err := fsx.Await(context.Background(), patience, path, func() opened {
		s, err := openPieces(path, patience)
		return opened{s, err}
	}, func(o opened) { _ = o.s.closeAll() })
	if err != nil {
		return &pieces{}, err
	}
	return o.s, o.err
}

// openPieces opens the volume path: the file, one of its parts, its list of parts, or the name that
// the parts have in common. The caller closes the result, also after an error.
func openPieces(path string, patience *fsx.Patience) (*pieces, error) {
	base := trimPart(strings.TrimSuffix(path, PartsSuffix))
	s := &pieces{path: path, patience: patience}
	if _, err := os.Lstat(base + PartsSuffix); err == nil && (base != path || !exists(path)) {
		s.path = base
		return s, s.openParts()
	}
	if exists(PartName(base, 0)) && !exists(path) {
		return s, lonely(untrusted("part list %s is missing", base+PartsSuffix))
	}
	s.lonely = base != path
	err := s.add(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = errs.Hint(errs.E(errs.NotFound, err), "name the volume's file, or the first of its parts")
	}
	return s, err
}

func lonely(err error) error {
	return errs.Hint(err, "if this is one part of several, copy all of them and the list that ends in %s", PartsSuffix)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s *pieces) openParts() error {
	list := s.path + PartsSuffix
	b, err := s.readList(list)
	if err != nil && !errors.Is(err, fsx.ErrTooLong) {
		return err
	}
	if err == nil {
		s.parts, err = parseManifest(b, s.path)
	}
	if err != nil {
		return errs.Hint(untrusted("part list %s: damaged: %w", list, err),
			"copy it again, and give the parts the names that they were sealed with")
	}
	for i := range s.parts {
		err := s.add(PartName(s.path, i))
		if errors.Is(err, fs.ErrNotExist) {
			return errs.Hint(untrusted("part %s is missing", PartName(s.path, i)), "copy it beside the others")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *pieces) open(path string) (*os.File, error) {
	if s.patience != nil {
		return fsx.OpenUnlinked(path)
	}
	return fsx.Open(path)
}

func (s *pieces) readList(path string) ([]byte, error) {
	f, err := s.open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fsx.Read(f, path, maxManifest)
}

func (s *pieces) add(path string) error {
	f, err := s.open(path)
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s.sizes = append(s.sizes, info.Size())
	s.size += info.Size()
	return nil
}

func (s *pieces) Close() error {
	if s.patience == nil || len(s.files) == 0 {
		return s.closeAll()
	}
	return s.patience.Close(context.Background(), s.path, closer(s.closeAll))
}

type closer func() error

func (c closer) Close() error { return c() }

func (s *pieces) closeAll() error {
	var err error
	for _, f := range s.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// read reads from f at off as io.ReaderAt, for a file that was found with patience.
func (s *pieces) read(f *os.File, p []byte, off int64) (int, error) {
	if s.patience == nil {
		return f.ReadAt(p, off)
	}
	return s.patience.ReadAt(context.Background(), f, p, off)
}

// ReadAt reads across parts, as io.ReaderAt.
func (s *pieces) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for i, f := range s.files {
		if off >= s.sizes[i] {
			off -= s.sizes[i]
			continue
		}
		n, err := s.read(f, p[done:done+int(min(int64(len(p)-done), s.sizes[i]-off))], off)
		done += n
		if done == len(p) {
			return done, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return done, err
		}
		if off += int64(n); off < s.sizes[i] {
			return done, untrusted("%s is shorter than its file system says: %w", f.Name(), io.ErrUnexpectedEOF)
		}
		off = 0
	}
	return done, io.EOF
}

// blame hashes the parts and returns an error that names those whose bytes are not what the list
// says, or err when all are right, or when there is only one file.
func (s *pieces) blame(ctx context.Context, err error) error {
	if s.parts == nil {
		if s.lonely {
			return lonely(err)
		}
		return err
	}
	buf := make([]byte, bufferSize)
	var bad []error
	for i, f := range s.files {
		h := digest.New()
		if rerr := copyRange(ctx, h, f, buf); rerr != nil {
			return errors.Join(err, rerr)
		}
		if perr := s.check(i, h.Digest()); perr != nil {
			bad = append(bad, perr)
		}
	}
	if bad == nil {
		return err
	}
	return errs.Hint(errs.E(errs.Untrusted, errors.Join(bad...)), "copy that part again")
}

// check returns an error unless got, the digest of part i, is what the list says.
func (s *pieces) check(i int, got digest.Digest) error {
	name := PartName(s.path, i)
	if got == s.parts[i] {
		return nil
	}
	for j, d := range s.parts {
		if d == got {
			return untrusted("part %s holds the bytes of %s: swapped", name, PartName(s.path, j))
		}
	}
	if i > 0 && i < len(s.files)-1 && s.sizes[i] < s.sizes[0] {
		return untrusted("part %s is cut short: %d bytes, want %d", name, s.sizes[i], s.sizes[0])
	}
	return untrusted("part %s is damaged or cut short (or its line in %s): its bytes are %s, want %s: %w",
		name, filepath.Base(s.path)+PartsSuffix, got, s.parts[i], digest.ErrMismatch)
}
