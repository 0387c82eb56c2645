package placed

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// Modes of what is placed when a File names none.
const (
	ProgramMode = 0o755 // folders too
	FileMode    = 0o644
)

// FileMode returns the mode that f names, or usual.
func (f File) FileMode(usual fs.FileMode) (fs.FileMode, error) {
	if f.Mode == "" {
		return usual, nil
	}
	const octal, bits = 8, 16
	n, err := strconv.ParseUint(f.Mode, octal, bits)
	if err != nil {
		return 0, errs.E(errs.Invalid, err)
	}
	return fsx.Mode(int64(n)), nil
}

// ModeOf returns the usual mode of an artifact.
func ModeOf(b builder.Built) fs.FileMode {
	if b.Data {
		return FileMode
	}
	return ProgramMode
}

// UsualMode returns that of what the commit has, by info.
func UsualMode(info fs.FileInfo) fs.FileMode {
	const executable = 0o100
	if info.IsDir() || info.Mode()&executable != 0 {
		return ProgramMode
	}
	return FileMode
}

// Walk calls visit with what root, the checkout of j, has under f.Path: its name there, where it belongs below the path at which
// f is placed ("." for f itself), and f, without its mode for what is in a folder. Links are not followed. where says where
// in overland.yaml the path stands.
func (f File) Walk(j builder.Job, root *os.Root, where string, visit func(name, below string, info fs.FileInfo, f File) error) error {
	for _, left := range j.Left {
		if left.Path == f.Path || f.Path == "." || strings.HasPrefix(left.Path, f.Path+"/") {
			return left.Err()
		}
	}
	info, err := root.Lstat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.Hint(errs.Errorf(errs.Invalid, "it is not in the commit"), "commit it, or mend its path %s", where)
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return visit(f.Path, ".", info, f)
	}
	inside := f
	inside.Mode = "" // of one file
	return fs.WalkDir(root.FS(), f.Path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below := name
		if f.Path != "." {
			below = path.Clean(strings.TrimPrefix(strings.TrimPrefix(name, f.Path), "/"))
		}
		return visit(name, below, info, inside)
	})
}
