package source

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"overland/internal/errs"
)

// Limits: a stranger's commit may pin submodules in submodules, without end.
const (
	maxModules = 1000      // submodules of a clone, and of a commit
	maxEntries = 4_000_000 // files and folders of a commit with its submodules
)

// whole returns r with the objects of the submodules that git keeps in this clone, which are below
// its own folder. The commit pins each of them by a hash: where the bytes are does not matter.
func (r *Repo) whole() *Repo {
	var list []string
	top := filepath.Join(r.gitDir, "modules")
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error { // what cannot be read is not there
		if err != nil || !d.IsDir() {
			return nil //nolint:nilerr // as above
		}
		if d.Name() == "objects" && isFile(filepath.Join(filepath.Dir(path), "HEAD")) {
			if !strings.ContainsAny(path, ":\"\n") { // git would read it as several
				list = append(list, path)
			}
			return fs.SkipDir
		}
		if len(list) >= maxModules {
			return fs.SkipAll
		}
		return nil
	})
	if len(list) == 0 {
		return r
	}
	out := *r
	out.env = append(out.env, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+strings.Join(list, ":"))
	return &out
}

// Submodules returns the paths, below dir and slash-separated, at which the repository that holds dir
// has submodules, by its index: git looks into each when it looks at the folder. None when dir
// is in no work tree.
func Submodules(ctx context.Context, dir string) ([]string, error) {
	r, err := Open(ctx, dir)
	if errs.KindOf(err) == errs.NotFound || err == nil && r.bare {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out, err := output(ctx, dir, maxList, nil, "ls-files", "-s", "-z")
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.SplitSeq(string(out), "\x00") {
		if meta, name, ok := strings.Cut(line, "\t"); ok && strings.HasPrefix(meta, modeSubmodule+" ") && inside(name) {
			list = append(list, name)
		}
	}
	return list, nil
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// treeOf returns the hash of the tree of the commit hash; "" when that is not here.
func (r *Repo) treeOf(ctx context.Context, hash string) (string, error) {
	_, kind, body, err := r.object(ctx, hash, maxFile)
	switch said := (*gitError)(nil); {
	case errors.Is(err, errMissing), errors.As(err, &said) && strings.Contains(said.says, "promisor remote"): // a partial clone would fetch it
		return "", nil
	case err != nil || kind != "commit":
		return "", err
	}
	c, err := parseCommit(body)
	return c.Tree, err
}

// pinned returns list with each submodule followed by what its commit holds, where that is here,
// and so on with the submodules of that one.
func (r *Repo) pinned(ctx context.Context, list []entry, folders bool) ([]entry, error) {
	return r.expand(ctx, list, &bounds{maxModules, maxEntries}, folders)
}

// bounds is how many submodules, and entries in all, a commit may still have.
type bounds struct{ modules, entries int }

func (r *Repo) expand(ctx context.Context, list []entry, left *bounds, folders bool) ([]entry, error) {
	tooMany := errs.Errorf(errs.Invalid, "more than %d submodules, or %d files", maxModules, maxEntries)
	if left.entries -= len(list); left.entries < 0 {
		return nil, tooMany
	}
	var all []entry
	for _, e := range list {
		all = append(all, e)
		if e.mode != modeSubmodule {
			continue
		}
		if left.modules--; left.modules < 0 {
			return nil, tooMany
		}
		tree, err := r.treeOf(ctx, e.hash)
		if err != nil {
			return nil, err
		}
		if tree == "" {
			continue
		}
		in, err := r.list(ctx, tree, folders)
		if err != nil {
			return nil, err
		}
		if in, err = r.expand(ctx, in, left, folders); err != nil {
			return nil, err
		}
		all[len(all)-1].here = true
		for _, inner := range in {
			inner.path = path.Join(e.path, inner.path)
			all = append(all, inner)
		}
	}
	return all, nil
}
