package dir

import (
	"io"

	"overland/internal/fsx"
	"overland/internal/store"
)

// The limits and names that tests step over or look for.
const (
	BufferSize   = bufferSize
	Large        = large
	LayoutLimit  = layoutLimit
	Ahead        = ahead
	BlobMode     = blobMode
	Layout       = layout
	IngestFolder = ingestFolder
	IndexLock    = indexLock
	KeepLock     = keepLock
	PartSuffix   = partSuffix
	PutPrefix    = putPrefix
)

var _ io.ReaderFrom = (*upload)(nil)

// Fill is what an upload and Put read through.
var Fill = fill

// Hashed returns how many bytes of u are hashed.
func Hashed(u store.Upload) int64 { return u.(*upload).hashed }

// FS returns the file system that s works on.
func (s *Store) FS() fsx.FS { return s.fs }
