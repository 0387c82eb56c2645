package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"overland/internal/fsx"
)

// File is a private key file, as it lies on the disk.
type File struct {
	Path    string
	Name    string // "alice"
	ID      string // key id; "" when there is no public half
	Mode    fs.FileMode
	Locked  bool
	Retired bool
}

// Folder is a folder that has private keys.
type Folder struct {
	Path string
	Mode fs.FileMode
}

// Files returns every private key file of k, those of root keys and retired ones too, and the folders
// that they lie in. Nothing is refused here: it is for a look at what is weak.
func (k *Dir) Files() ([]File, []Folder, error) {
	dirs := []string{k.dir, filepath.Join(k.dir, "retired")}
	if k.o.Root != k.dir {
		dirs = append(dirs, k.o.Root, filepath.Join(k.o.Root, "retired"))
	}
	var files []File
	var folders []Folder
	for i, dir := range dirs {
		list, err := k.filesIn(dir, i%2 == 1)
		if err != nil {
			return nil, nil, fmt.Errorf("key files: %w", err)
		}
		info, err := os.Stat(dir)
		if len(list) == 0 || err != nil {
			continue
		}
		files, folders = append(files, list...), append(folders, Folder{dir, info.Mode().Perm()})
	}
	return files, folders, nil
}

func (k *Dir) filesIn(dir string, retired bool) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []File
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".key")
		if !ok || !e.Type().IsRegular() {
			continue
		}
		f := File{Path: filepath.Join(dir, e.Name()), Name: name, Retired: retired}
		b, err := fsx.ReadFile(f.Path, maxKeyFile)
		if err != nil {
			return nil, err
		}
		f.Locked = isLocked(b)
		if info, err := e.Info(); err == nil {
			f.Mode = info.Mode().Perm()
		}
		folder := k.dir
		if retired {
			folder = dir
		}
		if b, err := fsx.ReadFile(filepath.Join(folder, name+".pub"), maxKeyFile); err == nil {
			if pub, err := ParsePublic(b); err == nil {
				f.ID = pub.ID
			}
		}
		out = append(out, f)
	}
	return out, nil
}
