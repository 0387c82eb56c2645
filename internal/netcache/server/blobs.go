package server

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
	"overland/internal/store"
)

const (
	format      = "overland netcache 1\n"
	aliasLimit  = 200 // bytes of a file that says which blob a sha512 is
	dirMode     = 0o755
	fileMode    = 0o644
	shardDigits = 2
)

// Depot is where a network cache keeps bytes: a site's, which others use too.
type Depot interface {
	store.Store
	// Claim notes that the network cache names blobs of the depot: a collection
	// that does not ask it is refused.
	Claim(name string) error
	// Touch has blob d stay, whatever eviction has looked before;
	// errs.NotFound when it is gone already.
	Touch(d digest.Digest) error
}

// Shelf is the directory of a network cache with the depot that holds its blobs. It is safe for
// concurrent use, also by several processes. There is nothing to close.
type Shelf struct {
	dir   string
	depot Depot
	fs    fsx.FS
	held  holders // the uploads that this process is reading
}

// Open opens the network cache in dir, or makes it, with its blobs in depot. It is an error
// (errs.Invalid) when dir holds one of another version.
func Open(dir string, depot Depot, disk fsx.FS) (*Shelf, error) {
	s := &Shelf{dir: dir, depot: depot, fs: disk}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open network cache %s: %w", dir, err)
	}
	return s, nil
}

func (s *Shelf) open() error {
	if err := s.depot.Claim(store.ClaimNetcache); err != nil {
		return err
	}
	for _, name := range []string{"sha512", "dir"} {
		if err := s.fs.Mkdir(filepath.Join(s.dir, name), dirMode); err != nil {
			return err
		}
	}
	path := filepath.Join(s.dir, "format")
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.fs.WriteFile(path, []byte(format), fileMode)
	case err == nil && string(b) != format:
		return errs.Errorf(errs.Invalid, "%s: not a network cache of this version", path)
	}
	return err
}

// PutBlob stores what r yields and returns its sha512 in hex, when it will survive a power cut.
// With want set, other bytes are refused (errs.Invalid); size is -1 when it is not known, and at
// most limit bytes are taken. What is refused or breaks off leaves nothing behind.
func (s *Shelf) PutBlob(ctx context.Context, r io.Reader, want string, size, limit int64) (name string, n int64, err error) {
	name, d, n, err := s.take(ctx, r, want, size, limit)
	if err != nil {
		return "", 0, err
	}
	if err := s.alias(name, d, n); err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", d, err)
	}
	return name, n, nil
}

// adopt stores the blob in f, a file without a name that came from another network cache. It is not
// among those that a collection keeps.
func (s *Shelf) adopt(ctx context.Context, f *os.File, name string) (digest.Digest, int64, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	if err := named(ctx, f, name); err != nil {
		return "", 0, err
	}
	staged, err := s.depot.Stage(ctx, f, store.Known{})
	if err != nil {
		return "", 0, err
	}
	if err := staged.Commit(ctx); err != nil {
		return "", 0, err
	}
	d, n := staged.Digest(), staged.Size()
	if b, err := os.ReadFile(s.aliasPath(name)); err == nil && string(b) == aliasText(d, n, false) {
		return d, n, nil // it was put here once
	}
	return d, n, s.writeAlias(name, aliasText(d, n, true))
}

// take stores what r yields in the depot when it is what is wanted.
func (s *Shelf) take(ctx context.Context, r io.Reader, want string, size, limit int64) (name string, d digest.Digest, n int64, err error) {
	if size > limit {
		return "", "", 0, tooLarge(limit)
	}
	h := sha512.New()
	body := &hashed{r: io.TeeReader(io.LimitReader(r, limit+1), h), sum: func() error {
		name = hex.EncodeToString(h.Sum(nil))
		if want != "" && name != want {
			return errs.Errorf(errs.Invalid, "the sha512 of the bytes is %s", name)
		}
		return nil
	}, limit: limit}
	d, n, err = s.depot.Put(ctx, body, "", size)
	return name, d, n, err
}

func tooLarge(limit int64) error {
	return errs.Errorf(errs.Denied, "more than %d bytes: %w", limit, store.ErrTooLarge)
}

// hashed asks sum at the end of r, before the depot makes the bytes a blob.
type hashed struct {
	r     io.Reader
	sum   func() error
	n     int64
	limit int64
}

func (j *hashed) Read(p []byte) (int, error) {
	n, err := j.r.Read(p)
	if j.n += int64(n); j.n > j.limit {
		return 0, tooLarge(j.limit)
	}
	if errors.Is(err, io.EOF) {
		if serr := j.sum(); serr != nil {
			return 0, serr
		}
	}
	return n, err
}

func (s *Shelf) aliasPath(name string) string {
	return filepath.Join(s.dir, "sha512", name[:shardDigits], name[shardDigits:])
}

// aliasText is a file that says which blob of the depot a name is; foreign ones came from another
// network cache, and may be fetched again.
func aliasText(d digest.Digest, size int64, foreign bool) string {
	mark := ""
	if foreign {
		mark = foreignMark
	}
	return fmt.Sprintf("%s %d%s\n", d, size, mark)
}

const foreignMark = " passed"

// alias notes, durably, that the blob d is the one called name, and has to stay. The error is
// errs.Unavailable when it was evicted just before: who sends it once more succeeds.
func (s *Shelf) alias(name string, d digest.Digest, size int64) error {
	if err := s.writeAlias(name, aliasText(d, size, false)); err != nil {
		return err
	}
	err := s.depot.Touch(d)
	if errs.KindOf(err) == errs.NotFound {
		return errs.E(errs.Unavailable, err)
	}
	return err
}

func (s *Shelf) writeAlias(name, text string) error {
	path := s.aliasPath(name)
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	if err := s.fs.Mkdir(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	return s.fs.WriteFile(path, []byte(text), fileMode)
}

// Resolve returns which blob of the depot the sha512 name is, and its size in bytes. The error is
// errs.NotFound when the depot has it not.
func (s *Shelf) Resolve(ctx context.Context, name string) (digest.Digest, int64, error) {
	d, n, _, err := s.resolve(ctx, name)
	return d, n, err
}

// resolve is Resolve; foreign says that the blob came from another network cache.
func (s *Shelf) resolve(ctx context.Context, name string) (d digest.Digest, n int64, foreign bool, err error) {
	if !netcache.ValidName(name) {
		return "", 0, false, errs.Errorf(errs.NotFound, "no blob is called %.40q", name)
	}
	b, err := os.ReadFile(s.aliasPath(name))
	if err != nil || len(b) > aliasLimit {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", 0, false, err
		}
		return "", 0, false, errs.Errorf(errs.NotFound, "no blob %.16s…", name)
	}
	text, foreign := strings.CutSuffix(strings.TrimSuffix(string(b), "\n"), foreignMark)
	text, length, _ := strings.Cut(text, " ")
	d, derr := digest.Parse(text)
	n, nerr := strconv.ParseInt(length, 10, 64)
	if derr != nil || nerr != nil {
		// Damaged by the disk: a client that has the bytes may put them again.
		return "", 0, false, errs.Errorf(errs.NotFound, "blob %.16s…: its file is damaged", name)
	}
	there, err := store.HasSize(ctx, s.depot, d, n)
	if err != nil {
		return "", 0, false, err
	}
	if !there {
		return "", 0, false, errs.Errorf(errs.NotFound, "blob %.16s… is not in the depot any more", name)
	}
	return d, n, foreign, nil
}

// Open opens the blob called name. The caller closes it.
func (s *Shelf) Open(ctx context.Context, name string) (store.Blob, error) {
	d, _, err := s.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.depot.Open(ctx, d)
}

// Blobs calls visit for each blob that was put into the network cache and stops at the first
// error: these are what a collection of the depot must keep. Those that came from other
// network caches can be fetched again.
func (s *Shelf) Blobs(ctx context.Context, visit func(name string, d digest.Digest, size int64) error) error {
	top := filepath.Join(s.dir, "sha512")
	return filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		name := filepath.Base(filepath.Dir(path)) + entry.Name()
		d, n, foreign, err := s.resolve(ctx, name)
		if errs.KindOf(err) == errs.NotFound || err == nil && foreign {
			return nil
		}
		if err != nil {
			return err
		}
		return visit(name, d, n)
	})
}

// Dir returns the directory of the network cache.
func (s *Shelf) Dir() string { return s.dir }
