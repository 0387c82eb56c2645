package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/errs"
)

// Left is a part of a commit that a checkout does not have as it is meant to be: its bytes are not
// in the repository. What is built from it cannot be built from the commit.
type Left struct {
	Path string // slash-separated
	Kind LeftKind
}

// LeftKind says why a part of a commit is missing.
type LeftKind string

// The kinds. A link is left out, a submodule is an empty folder, a pointer is the file that git has.
const (
	OutsideLink LeftKind = "a symbolic link that leaves the repository"
	Submodule   LeftKind = "a submodule that is not in this clone"
	LFSPointer  LeftKind = "a Git LFS pointer: its content is not in the repository"
)

func (l Left) String() string { return fmt.Sprintf("%s is %s", l.Path, l.Kind) }

// Err returns the error of a build that needs l.
func (l Left) Err() error {
	hint := "commit the file itself in its place"
	switch l.Kind {
	case Submodule:
		hint = "git submodule update --init --recursive; the commit pins what is built"
	case LFSPointer:
		hint = fmt.Sprintf("take the file out of LFS: git lfs migrate export --include=%q", l.Path)
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "%s", l), "%s", hint)
}

// Covers reports whether name, slash-separated, is l or lies in it.
func (l Left) Covers(name string) bool { return name == l.Path || strings.HasPrefix(name, l.Path+"/") }

// leave removes the links that lead out of the target when they are followed: one alone may look as
// if it stayed inside, and lead out by way of another.
func (t *target) leave() error {
	out := slices.DeleteFunc(t.links, func(name string) bool {
		_, err := t.root.Stat(filepath.FromSlash(name))
		return err == nil || errors.Is(err, fs.ErrNotExist) && !t.escapes(name)
	})
	for _, name := range out { // after all were followed: one leads out by way of another
		if err := t.root.Remove(filepath.FromSlash(name)); err != nil {
			return err
		}
		t.left = append(t.left, Left{name, OutsideLink})
	}
	return nil
}

// escapes reports whether the link name, which leads to nothing, could lead out of the target when
// something is made there.
func (t *target) escapes(name string) bool {
	to, err := t.root.Readlink(filepath.FromSlash(name))
	return err != nil || !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(name), filepath.ToSlash(to))))
}

func (t *target) submodule(e entry) error {
	if !inside(e.path) || hasGitDir(e.path) {
		return errs.Errorf(errs.Invalid, "%q: not a folder that belongs in a repository", e.path)
	}
	t.left = append(t.left, Left{e.path, Submodule})
	return t.mkdir(e.path)
}

// inside reports whether name, slash-separated, is a path below a folder. Unlike fs.ValidPath it
// takes any bytes: git does, and so does Linux.
func inside(name string) bool {
	return name != "" && !strings.ContainsRune(name, 0) &&
		!slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return part == "" || part == "." || part == ".." })
}
