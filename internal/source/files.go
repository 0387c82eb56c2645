package source

import (
	"context"
	"fmt"
	"io"

	"overland/internal/digest"
	"overland/internal/errs"
)

// File is one file of a commit, as far as its content can be told apart from another.
type File struct {
	Path string // slash-separated
	Mode string // git's: 100644, 100755, 120000 for a link, 160000 for a submodule
	Hash string // of its content: git's, or a sha256 of the folder's own (Repo.Dirty)
}

// Files returns the files of c, with those of submodules that are here. The same content under the same
// path is the same File in every commit.
func (r *Repo) Files(ctx context.Context, c Commit) ([]File, error) {
	if c.Working() {
		return r.workingFiles(ctx, c)
	}
	list, err := r.list(ctx, c.Tree, false)
	if err == nil {
		list, err = r.whole().pinned(ctx, list, false)
	}
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", c.Version, err)
	}
	files := make([]File, len(list))
	for i, e := range list {
		files[i] = File{e.path, e.mode, e.hash}
	}
	return files, nil
}

func (r *Repo) workingFiles(ctx context.Context, c Commit) (files []File, err error) {
	list, _, err := r.listWorking(ctx)
	if err != nil {
		return nil, err
	}
	all := digest.New()
	err = r.eachWorking(list, all, func(e entry, content io.Reader, _ int64) error {
		h := digest.New()
		if _, err := io.Copy(h, content); err != nil {
			return err
		}
		files = append(files, File{e.path, e.mode, hashOf(e, h)})
		return nil
	})
	if err == nil && dirtyTree+all.Digest().Encoded() != c.Tree {
		err = errs.Hint(errs.Errorf(errs.Conflict, "%s changed while it was being read", r.dir), "try again when nothing writes there")
	}
	return files, err
}

// hashOf returns the hash of e, whose content h has seen.
func hashOf(e entry, h digest.Hasher) string {
	if e.mode == modeSubmodule {
		return e.hash
	}
	return h.Digest().Encoded()
}
