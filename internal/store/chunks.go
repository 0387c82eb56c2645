package store

import (
	"crypto/sha256"
	"errors"
	"io"
)

// ChunkSize is the length in bytes of every chunk of a blob but the last.
const ChunkSize = 1 << 20

// MediaTypeChunks is the media type of a chunk list: the raw 32-byte sha256 of each chunk of a
// blob, one after the other. It has no header: the digest that names it is signed, and its length
// tells the number of chunks.
const MediaTypeChunks = "application/vnd.overland.chunks.v1"

// Chunks reads r to its end and returns its chunk list; empty for no bytes.
func Chunks(r io.Reader) ([]byte, error) {
	var list []byte
	buf := make([]byte, ChunkSize)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			sum := sha256.Sum256(buf[:n])
			list = append(list, sum[:]...)
		}
		switch {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return list, nil
		case err != nil:
			return nil, err
		}
	}
}
