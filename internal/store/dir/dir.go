package dir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
)

const (
	layout       = `{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`
	layoutLimit  = 4 << 10 // bytes of oci-layout that are read
	bufferSize   = 256 << 10
	blobMode     = 0o444
	reserve      = 16 << 20
	unlooked     = 1 << 20  // bytes that a writer writes between two looks at what is free
	large        = 32 << 20 // bytes; a smaller blob may be a program that runs next: it stays in memory
	ingestFolder = "ingest"
	partSuffix   = ".part" // of a partial blob in it
)

// Options changes how a depot is used. The zero value works.
type Options struct {
	FS      fsx.FS // how the disk is changed; the real disk
	Reserve int64  // bytes that Begin and Put leave free on the disk; 0 = 16 MiB, negative = none
}

var _ store.Store = (*Store)(nil)

// Store is an open depot. It is safe for concurrent use, also by several processes. There is
// nothing to close.
type Store struct {
	dir     string
	fs      fsx.FS
	reserve int64
	buffers sync.Pool // of *[]byte, bufferSize long
}

// Open opens the depot in dir and makes what is missing of it. A complete depot on a read-only disk
// can be opened. It is an error (errs.Invalid) when dir holds a layout of another version.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, fs: o.FS, reserve: o.Reserve}
	s.reserve = cmp.Or(s.reserve, reserve)
	s.buffers.New = func() any { b := make([]byte, bufferSize); return &b }
	if err := s.prepare(); err != nil {
		return nil, fmt.Errorf("open depot %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) prepare() error {
	path := filepath.Join(s.dir, ocispec.ImageLayoutFile)
	b, err := fsx.ReadFile(path, layoutLimit)
	if err == nil {
		var l ocispec.ImageLayout
		switch json.Unmarshal(b, &l) {
		case nil:
			if l.Version != ocispec.ImageLayoutVersion {
				return errs.Errorf(errs.Invalid, "%s: layout version %q, want %q", path, l.Version, ocispec.ImageLayoutVersion)
			}
			return s.folder(store.BlobFolder)
		default:
			// The file is a constant. Where there are blobs a torn one is written again, so that no
			// person has to.
			if _, serr := os.Stat(filepath.Join(s.dir, store.BlobFolder)); serr != nil {
				return errs.Hint(errs.Errorf(errs.Invalid, "%s: not an OCI layout", path), "choose another folder, or remove that file")
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.folder(store.BlobFolder); err != nil {
		return err
	}
	return s.fs.WriteFile(path, []byte(layout), 0o644)
}

// Dir returns the depot's directory.
func (s *Store) Dir() string { return s.dir }

func (s *Store) folder(name string) error { return s.fs.Mkdir(filepath.Join(s.dir, name), 0o755) }

func (s *Store) path(d digest.Digest) (string, error) {
	if _, err := digest.Parse(string(d)); err != nil {
		return "", errs.E(errs.Invalid, err)
	}
	return filepath.Join(s.dir, store.BlobFolder, d.Encoded()), nil
}

func (s *Store) ingest(name string) string { return filepath.Join(s.dir, ingestFolder, name) }
