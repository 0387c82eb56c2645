package keys

import (
	"io/fs"
	"os"
	"sync"

	"overland/internal/fsx"
)

// files remembers what key files hold for as long as they stay the same files:
// one signature needs no key twice.
type files struct {
	mu   sync.Mutex
	seen map[string]seen // by path
}

type seen struct {
	info  fs.FileInfo
	bytes []byte
}

// read returns the bytes and the mode of the file at path. Its bytes are not to be changed.
func (f *files) read(path string) ([]byte, fs.FileMode, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.seen[path]; ok && os.SameFile(s.info, info) && s.info.ModTime().Equal(info.ModTime()) && s.info.Size() == info.Size() {
		return s.bytes, info.Mode().Perm(), nil
	}
	b, err := fsx.ReadFile(path, maxKeyFile)
	if err != nil {
		return nil, 0, err
	}
	f.seen[path] = seen{info, b}
	return b, info.Mode().Perm(), nil
}
