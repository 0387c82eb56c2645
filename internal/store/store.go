package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/fsx"
)

// Store keeps blobs, the names of manifests, and blobs on their way in. Every implementation is
// safe for concurrent use, also by several processes, and runs the contract suite in storetest.
type Store interface {
	Blobs
	Tags
	Uploads
	Stager
}

// Blobs are bytes, each named by its digest. A digest that is malformed is errs.Invalid; a blob
// that is not there is an error that wraps ErrNotFound (errs.NotFound). Any other error says
// nothing about whether the blob is there.
type Blobs interface {
	Getter
	Opener
	// Stat returns the length of blob d in bytes. It looks at the name only: see Verify.
	Stat(ctx context.Context, d digest.Digest) (int64, error)
	// Put stores what r yields and returns its name and length in bytes, when it will survive a
	// power cut. An empty want means any content, a size of -1 an unknown length; bytes that differ
	// from them are refused with an error that wraps digest.ErrMismatch (errs.Untrusted) and leave
	// nothing behind. At most size+1 bytes are read. When want is stored already, nothing is read
	// from r.
	Put(ctx context.Context, r io.Reader, want digest.Digest, size int64) (digest.Digest, int64, error)
	// Remove removes blob d. Removing a blob that is not there is not an error.
	Remove(ctx context.Context, d digest.Digest) error
	// List calls visit for each blob, in no particular order, with its length in bytes. It stops at
	// the first error.
	List(ctx context.Context, visit func(d digest.Digest, size int64) error) error
}

// Opener opens blobs for reading.
type Opener interface {
	// Open opens blob d. Its bytes are not verified again. The caller closes it.
	Open(ctx context.Context, d digest.Digest) (Blob, error)
}

// Getter gets small blobs whole and verified.
type Getter interface {
	// Bytes returns blob d. The error wraps ErrTooLarge when d is longer than limit bytes, and
	// digest.ErrMismatch (errs.Untrusted) when the bytes are not d any more.
	Bytes(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// Tags are names of manifests. A name has 1 to 255 letters, digits and ._-@:/+; another one is
// errs.Invalid.
type Tags interface {
	// Tag makes name stand for desc, in place of what it stood for, and returns when that will
	// survive a power cut. Of several writers at the same time none loses its tag.
	Tag(ctx context.Context, name string, desc ocispec.Descriptor) error
	// Untag removes name; removing one that is not there is not an error. The blobs stay.
	Untag(ctx context.Context, name string) error
	// Resolve returns what name stands for, or an error that wraps ErrNotFound (errs.NotFound).
	Resolve(ctx context.Context, name string) (ocispec.Descriptor, error)
	// Tags returns every descriptor that has a name, sorted by it: see TagOf.
	Tags(ctx context.Context) ([]ocispec.Descriptor, error)
}

// Uploads are blobs on their way in, each under an id that its writer chooses: 1 to 128 lower-case
// letters, digits and "-"; UploadID derives one from a digest. What was written and synced survives
// the writer, also kill -9.
type Uploads interface {
	// Begin starts the upload id, or resumes it where its last writer stopped. size is the length
	// of the blob in bytes, -1 when it is unknown. Errors: ErrBusy (errs.Conflict) while another
	// writer of any process has the upload; errs.Unavailable when there is no room for size bytes.
	Begin(ctx context.Context, id string, size int64) (Upload, error)
	// Pending calls visit for each upload whose id begins with prefix and which nobody has committed
	// or discarded, with its bytes so far and when the last came; it stops at the first error.
	Pending(ctx context.Context, prefix string, visit func(id string, size int64, last time.Time) error) error
}

// Upload is one blob on its way in, written from front to back by one goroutine. The caller ends it
// with Close, which keeps it for the next Begin, or Discard; after Commit both do nothing.
//
// Bytes of an earlier writer are not trusted, as a power cut may have changed them: Commit verifies
// the whole. A caller who can tell which of them are good, from a list of chunks, reads them back
// and truncates.
type Upload interface {
	// Write appends. More than the size given to Begin is refused with an error that wraps
	// digest.ErrMismatch (errs.Untrusted).
	io.Writer
	// ReadAt reads bytes that were written, now or before a resume.
	io.ReaderAt
	// Offset returns how many bytes there are: where the next Write goes.
	Offset() int64
	// Truncate drops the bytes from offset off on, 0 ≤ off ≤ Offset.
	Truncate(off int64) error
	// Reserve returns an error (errs.Unavailable) when n more bytes do not fit: for a blob whose
	// length was unknown when it was begun. It holds nothing back for the writer.
	Reserve(n int64) error
	// Digest returns the name of what was written so far, for a writer who is told another one at
	// the end. Bytes of an earlier writer are read for it.
	Digest(ctx context.Context) (digest.Digest, error)
	// Sync makes what was written survive a power cut.
	Sync() error
	// Commit verifies that the bytes are d, makes them durable and only then visible, and ends the
	// upload. When they are not d the error wraps digest.ErrMismatch (errs.Untrusted) and the
	// upload stays open.
	Commit(ctx context.Context, d digest.Digest) error
	// Close ends the upload and keeps its bytes for the next Begin.
	Close() error
	// Discard ends the upload and drops its bytes.
	Discard() error
}

// Stager turns local files into blobs in two steps, so that a caller knows the digest before
// anything is stored.
type Stager interface {
	// Stage reads f, which nobody writes any more, from its start. f stays the caller's, who closes
	// it after the last use of what is returned. A depot on the file system of a nameless f
	// (fsx.FS.Nameless) takes it without copying. A file of known.Size bytes is taken for
	// known.Digest, and not read; the zero Known says nothing.
	Stage(ctx context.Context, f *os.File, known Known) (Staged, error)
}

// Known is what whoever wrote a file has hashed meanwhile.
type Known struct {
	Digest digest.Digest
	Size   int64 // bytes
}

// Staged is a file that may become a blob.
type Staged interface {
	Digest() digest.Digest
	Size() int64 // in bytes
	// Open opens the file for reading, also before Commit; errors.ErrUnsupported where the system
	// cannot. The caller closes the blob.
	Open() (Blob, error)
	// Commit stores the file and returns when the blob will survive a power cut.
	Commit(ctx context.Context) error
}

var (
	// ErrNotFound is wrapped by the errors for a blob or a tag that is not there. It is an
	// fs.ErrNotExist too.
	ErrNotFound error = notFoundError{}
	// ErrTooLarge is wrapped by the error for something longer than the limit that the caller gave.
	ErrTooLarge = fsx.ErrTooLong
	// ErrBusy is wrapped by the error of Begin when another writer has the upload.
	ErrBusy = errors.New("another writer is at work on this blob")
	// ErrExists is wrapped by the error of Resume for a blob that is stored already.
	ErrExists = errors.New("the blob is in the depot already")
)

type notFoundError struct{}

func (notFoundError) Error() string        { return "not in the depot" }
func (notFoundError) Is(target error) bool { return target == fs.ErrNotExist }
