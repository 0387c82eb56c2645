package archive

import (
	"archive/zip"
	"fmt"
	"io"
)

// Zip reads the list of files of a ZIP archive of size bytes, which may have list bytes at most. It is read first and
// held in memory, and an archive of 500 MB can list ten million files, which take several GB. What a file holds is not bounded
// here: it is never more than its UncompressedSize64, which several files may unpack from the same bytes.
func Zip(r io.ReaderAt, size, list int64) (*zip.Reader, error) {
	d := &directory{ReaderAt: r, left: list, limit: list}
	z, err := zip.NewReader(d, size)
	d.read = true
	if err != nil {
		return nil, fmt.Errorf("not a whole zip archive: %w", err)
	}
	return z, nil
}

type directory struct {
	io.ReaderAt
	left, limit int64
	read        bool // the list was read
}

// ReadAt implements io.ReaderAt.
func (d *directory) ReadAt(p []byte, off int64) (int, error) {
	if !d.read {
		if d.left -= int64(len(p)); d.left < 0 {
			return 0, fmt.Errorf("%w: a list of files of more than %d bytes", ErrBomb, d.limit)
		}
	}
	return d.ReaderAt.ReadAt(p, off)
}
