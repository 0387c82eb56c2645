package volume

import (
	"context"
	"errors"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/platform"
)

// Agent is the node's program for one platform, a blob of the volume.
type Agent struct {
	Platform platform.Platform
	Digest   digest.Digest
	Size     int64 // bytes
}

// Content is what Seal puts into a volume.
type Content struct {
	Blobs  []ocispec.Descriptor                       // all of them, in any order; duplicates are no harm
	Open   func(digest.Digest) (io.ReadCloser, error) // where their bytes come from; Seal verifies them
	Index  []byte                                     // index.json, see store.MarshalIndex
	Trust  map[string][]byte                          // metadata by its name on the wire: "2.root.json"
	Agents []Agent                                    // at most one for each platform, their digests among Blobs
}

// Options changes how Seal works. The zero value works.
type Options struct {
	Split    int64                   // bytes of each part but the last; 0 = one file
	Progress func(done, total int64) // bytes
	FS       fsx.FS
}

// Info is what Seal made.
type Info struct {
	Paths  []string      // the file, or its parts in order
	Size   int64         // bytes of all parts together
	Digest digest.Digest // names the content: of overland.json and the central directory
}

// Entry is one file in the archive.
type Entry struct {
	Name   string
	Offset int64 // of its bytes in the volume
	Size   int64 // bytes
	Digest digest.Digest
}

// Volume is an open volume. It is safe for concurrent use.
type Volume struct{}

var errTODO = errors.New("not written yet")

// Seal writes the volume path.
func Seal(ctx context.Context, path string, c Content, o Options) (Info, error) {
	return Info{}, errTODO
}

// Open opens a volume: the file, its first part, or the name without the part's number.
func Open(path string) (*Volume, error) { return nil, errTODO }

func (v *Volume) Close() error { return nil }
func (v *Volume) Name() string { return "" }
func (v *Volume) Open(ctx context.Context, d digest.Digest, off int64) (io.ReadCloser, int64, error) {
	return nil, 0, errTODO
}
func (v *Volume) ReaderAt(d digest.Digest) (*io.SectionReader, error) { return nil, errTODO }
func (v *Volume) Has(d digest.Digest) bool                            { return false }
func (v *Volume) Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error) {
	return nil, errTODO
}
func (v *Volume) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	return nil, errTODO
}
func (v *Volume) MetadataNames() []string                                            { return nil }
func (v *Volume) Index() ([]byte, error)                                             { return nil, errTODO }
func (v *Volume) Tags() ([]ocispec.Descriptor, error)                                { return nil, errTODO }
func (v *Volume) Entries() []Entry                                                   { return nil }
func (v *Volume) Agents() []Agent                                                    { return nil }
func (v *Volume) Verify(ctx context.Context, progress func(done, total int64)) error { return errTODO }
func (v *Volume) Extract(ctx context.Context, dir string, f fsx.FS) error            { return errTODO }
