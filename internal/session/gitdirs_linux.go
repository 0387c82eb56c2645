package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/source"
)

// gitDirs are what git obeys in a folder that a command may change: the folder's own .git, and those
// of its submodules, in which git runs when it looks at the folder. path → what is there.
type gitDirs map[string]string

// gitDirsOf returns those of the folders dirs.
func gitDirsOf(ctx context.Context, dirs []string) (gitDirs, error) {
	all := gitDirs{}
	for _, dir := range dirs {
		if what := gitDir(filepath.Join(dir, ".git")); what != "" {
			all[filepath.Join(dir, ".git")] = what
		}
		if err := all.addModules(ctx, dir); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// addModules adds the submodules of the repository that holds dir, and theirs. One that is not there
// is to stay away.
func (g gitDirs) addModules(ctx context.Context, dir string) error {
	const most = 1000
	list, err := source.Submodules(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range list {
		module := filepath.Join(dir, filepath.FromSlash(name))
		path := filepath.Join(module, ".git")
		if _, seen := g[path]; seen {
			continue
		}
		if len(g) >= most {
			return errs.Errorf(errs.Invalid, "%s has more than %d submodules", dir, most)
		}
		if g[path] = gitDir(path); g[path] == "" {
			continue
		}
		if err := g.addModules(ctx, module); err != nil {
			return err
		}
	}
	return nil
}

// gitDir says what lies at path: a folder by its number, a link or a file by its text; "" = nothing.
func gitDir(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	text := ""
	const most = 4 << 10
	switch info.Mode().Type() {
	case 0:
		var b []byte
		if b, err = fsx.ReadFile(path, most); err == nil {
			text = string(b)
		}
	case fs.ModeSymlink:
		text, err = os.Readlink(path)
	case fs.ModeDir:
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			text = fmt.Sprint(s.Dev, s.Ino)
		}
	}
	return fmt.Sprintf("%s %q %v", info.Mode().Type(), text, err)
}

// shown returns those that the command sees read-only. A link leads to where it sees nothing.
func (g gitDirs) shown() (list []string) {
	for path := range g {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type()&^fs.ModeDir == 0 {
			list = append(list, path)
		}
	}
	slices.Sort(list)
	return list
}

// unchanged returns an error that names what a command has put in the place of some of them: it can
// move the folders above a submodule's.
func (g gitDirs) unchanged() error {
	var bad []error
	for path, was := range g {
		if gitDir(path) != was {
			bad = append(bad, errs.Hint(errs.Errorf(errs.Untrusted, "the command put a git repository of its own at %s, and git would run what that says", path),
				"rm -rf %s, before you use git in this folder", path))
		}
	}
	return errors.Join(bad...)
}
