package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"overland/internal/errs"
	"overland/internal/fsx"
)

// MetadataSource hands out metadata by its name on the wire: "2.root.json", "timestamp.json",
// "7.snapshot.json", "3.app%2Fwallet.json". Nothing it returns is believed.
type MetadataSource interface {
	// Metadata returns the file name, or an error that wraps fs.ErrNotExist when there is none. At
	// most limit bytes are read; a longer file is an error.
	Metadata(ctx context.Context, name string, limit int64) ([]byte, error)
}

// DirSource returns the metadata in directory dir: a Repository's, or a copy of one on a stick.
func DirSource(dir string) MetadataSource { return dirSource(dir) }

type dirSource string

func (d dirSource) Metadata(_ context.Context, name string, limit int64) ([]byte, error) {
	if !fileName(name) {
		return nil, fmt.Errorf("metadata %.100q: %w", name, fs.ErrNotExist)
	}
	return fsx.ReadFile(filepath.Join(string(d), name), limit)
}

// VersionsIn returns the version numbers of the files that directory dir has of role,
// rising; none when there is no dir.
func VersionsIn(dir, role string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return Versions(names, role), nil
}

// Versions returns the version numbers of those files in names that are of role, rising.
func Versions(names []string, role string) []int64 {
	var out []int64
	for _, name := range names {
		number, rest, ok := strings.Cut(name, ".")
		v, err := strconv.ParseInt(number, 10, 64)
		if ok && err == nil && v > 0 && rest == WireName(role, 0) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// MetadataNameLimit is the length of a name that CheckMetadataName accepts, in bytes.
const MetadataNameLimit = 200

// CheckMetadataName returns an error of kind Invalid unless name can be that of a metadata
// file that travels, to a node or in a volume: letters, digits and . _ - % alone, not
// beginning with a dot, ending in .json.
func CheckMetadataName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%-"
	if name == "" || len(name) > MetadataNameLimit || name[0] == '.' || strings.Trim(name, letters) != "" || !strings.HasSuffix(name, ".json") {
		return errs.Errorf(errs.Invalid, "metadata name %.100q: want 1 to %d letters, digits and ._%%-, ending in .json", name, MetadataNameLimit)
	}
	return nil
}

// fileName reports whether name can only be a file of metadata inside a directory.
func fileName(name string) bool {
	return strings.HasSuffix(name, ".json") && name[0] != '.' && !strings.ContainsAny(name, "/\\\x00") && len(name) <= 255
}
