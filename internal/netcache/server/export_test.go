package server

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"testing"

	"overland/internal/fsx"
	storedir "overland/internal/store/dir"
)

// Limits of the room, in bytes.
const (
	MaxBlob    = maxBlob
	WasteLimit = wasteLimit
)

// ListPath returns the file with the entries of key.
func (s *Shelf) ListPath(key string) string { return s.listPath(key) }

// Line returns r as it stands in its file.
func (r Record) Line() ([]byte, error) { return r.line() }

// OpenIn opens the shelf in dir, with a depot beside it.
func OpenIn(dir string, disk fsx.FS) (*Shelf, error) {
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{FS: disk, Reserve: -1})
	if err != nil {
		return nil, err
	}
	return Open(filepath.Join(dir, "netcache"), depot, disk)
}

// NewShelf returns one in a folder of its own.
func NewShelf(t *testing.T) *Shelf {
	t.Helper()
	s, err := OpenIn(t.TempDir(), fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// NameOf returns the sha512 of b in hex.
func NameOf(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}

func metadata(note string) string {
	b, err := json.Marshal(map[string]string{"sha512": NameOf([]byte(note)), "note": note})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// RecordOf returns an entry of key that says note.
func RecordOf(key, note string) Record { return Record{Key: key, Metadata: metadata(note)} }
