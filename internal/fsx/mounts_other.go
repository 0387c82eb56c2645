//go:build !linux

package fsx

import (
	"io/fs"
	"os"
	"path/filepath"
)

// NoExec returns "": what is mounted how is known on Linux only.
func NoExec(string) string { return "" }

// Purge removes path and all below it.
func (f FS) Purge(path string) []Left {
	if err := f.RemoveAll(path); err != nil {
		return []Left{{path, err}}
	}
	return nil
}

func removeForced(dir string) error {
	const mode = 0o700
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, mode) // a folder about to be removed
		}
		return nil // what still cannot be removed is reported below
	})
	return os.RemoveAll(dir)
}
