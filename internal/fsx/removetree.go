package fsx

import (
	"io/fs"
	"os"
	"path/filepath"
)

// RemoveTree removes dir and all in it, folders without write permission too, as the Go command
// leaves them. A dir that is not there is not an error. It is for leftovers: nothing is made
// durable.
func RemoveTree(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	const mode = 0o700
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, mode) // a folder about to be removed
		}
		return nil // what still cannot be removed is reported below
	})
	return os.RemoveAll(dir)
}
