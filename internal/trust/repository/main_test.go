package repository

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

// tree returns every file below dir, by its path from there.
func tree(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out[rel] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var damages = map[string]func(b []byte) []byte{
	"zero bytes": func([]byte) []byte { return []byte{} },
	"truncated":  func(b []byte) []byte { return b[:len(b)/2] },
	"garbage":    func(b []byte) []byte { return bytes.Repeat([]byte{0xff, 0x00, 0x7b}, len(b)/3) },
	"flipped": func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return b
	},
	"missing": func([]byte) []byte { return nil },
}

// failAt makes the n-th change of the disk, and every one after it, fail: the process died there.
func failAt(n int) (fsx.FS, *int) {
	count := 0
	return fsx.FS{Before: func(fsx.Op) error {
		count++
		if n > 0 && count >= n {
			return errCrash
		}
		return nil
	}}, &count
}

var errCrash = errors.New("the machine lost its power")

func openKeys(t *testing.T, dir string, o keys.Options) *keys.Dir {
	t.Helper()
	k, err := keys.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustFingerprint(t *testing.T, b []byte) trust.Fingerprint {
	t.Helper()
	fp, err := trust.FingerprintOf(b)
	if err != nil {
		t.Fatal(err)
	}
	return fp
}
