package trusttest_test

import (
	"path/filepath"
	"testing"

	"overland/internal/fsx"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
	"overland/internal/trust/trusttest"
)

func TestMemory(t *testing.T) {
	trusttest.Files(t, func(*testing.T) func() repository.Files {
		m := trusttest.NewMemory()
		return func() repository.Files { return m }
	})
}

func TestDir(t *testing.T) {
	trusttest.Files(t, func(t *testing.T) func() repository.Files {
		dir := filepath.Join(t.TempDir(), "trust")
		return func() repository.Files { return repository.Dir(dir, fsx.FS{}) }
	})
}

func TestMemoryKeys(t *testing.T) {
	trusttest.Keys(t, func(*testing.T) repository.Keys { return trusttest.NewMemoryKeys() })
}

func TestKeyFiles(t *testing.T) {
	trusttest.Keys(t, func(t *testing.T) repository.Keys {
		k, err := keys.Open(filepath.Join(t.TempDir(), "keys"), keys.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return k
	})
}
