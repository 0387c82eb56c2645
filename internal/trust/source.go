package trust

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MetadataSource hands out metadata by its name on the wire: "2.root.json", "timestamp.json", "7.snapshot.json",
// "3.app%2Fwallet.json". Nothing it returns is believed.
type MetadataSource interface {
	// Metadata returns the file name, or an error that wraps fs.ErrNotExist when there is none. At most limit bytes
	// are read; a longer file is an error.
	Metadata(ctx context.Context, name string, limit int64) ([]byte, error)
}

// DirSource returns the metadata in directory dir: a Repository's, or a copy of one on a stick.
func DirSource(dir string) MetadataSource { return dirSource(dir) }

type dirSource string

func (d dirSource) Metadata(_ context.Context, name string, limit int64) ([]byte, error) {
	if !fileName(name) {
		return nil, fmt.Errorf("metadata %q: %w", clip(name), fs.ErrNotExist)
	}
	return readLimited(filepath.Join(string(d), name), limit)
}

// fileName reports whether name can only be a file of metadata inside a directory.
func fileName(name string) bool {
	return strings.HasSuffix(name, ".json") && name[0] != '.' && !strings.ContainsAny(name, "/\\\x00") && len(name) <= 255
}

// readLimited reads the regular file path, of at most limit bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	// O_NONBLOCK keeps a pipe, placed where metadata belongs, from stopping the reader for good.
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("read %s: %w (%d bytes)", path, ErrTooLarge, limit)
	}
	return b, nil
}

func clip(s string) string {
	const longest = 100
	if len(s) > longest {
		return s[:longest] + "…"
	}
	return s
}
