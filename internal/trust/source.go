package trust

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"overland/internal/fsx"
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
	return fsx.ReadFile(filepath.Join(string(d), name), limit)
}

// fileName reports whether name can only be a file of metadata inside a directory.
func fileName(name string) bool {
	return strings.HasSuffix(name, ".json") && name[0] != '.' && !strings.ContainsAny(name, "/\\\x00") && len(name) <= 255
}

func clip(s string) string {
	const longest = 100
	if len(s) > longest {
		return s[:longest] + "…"
	}
	return s
}
