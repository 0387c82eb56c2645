package record

import (
	"cmp"
	"os"
	"path/filepath"

	"overland/internal/appfile"
	"overland/internal/lockfile"
)

// lockOf returns the lock file that a verb works on: named, or when nothing is named the overland.lock of
// the working folder. Where there is none, it is the one that overland build reads: beside the
// overland.yaml at the top of the repository that the working folder is in.
func lockOf(named string) string {
	if named != "" || exists(lockfile.Name) {
		return cmp.Or(named, lockfile.Name)
	}
	dir, err := os.Getwd()
	if err != nil {
		return lockfile.Name
	}
	for up := "."; ; up, dir = filepath.Join(up, ".."), filepath.Dir(dir) {
		switch {
		case exists(filepath.Join(dir, ".git")) && exists(filepath.Join(dir, appfile.FileName)):
			return filepath.Join(up, lockfile.Name)
		case exists(filepath.Join(dir, ".git")) || dir == filepath.Dir(dir):
			return lockfile.Name
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
