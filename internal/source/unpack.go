package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"overland/internal/errs"
)

// Unpack makes a git repository in dir, which must be empty or absent, from the pack in r, with the
// commit want as its HEAD and in its folder. git computes every object's name from its bytes, so
// nothing but the commit that is asked for can come out; anything else in the pack, or behind it,
// has no effect. The repository does not have the files of older commits, and is configured to
// expect that. The caller removes dir when Unpack fails. Errors: Invalid for a want that is not a
// hash or a commit whose files take more than half of what is free on the disk, Untrusted for a pack
// that is damaged, longer than PackLimit, not whole, or not as Pack writes it.
func Unpack(ctx context.Context, r io.Reader, want, dir string) (*Repo, error) {
	repo, err := unpack(ctx, r, want, dir)
	if err != nil {
		return nil, fmt.Errorf("unpack source %.12s: %w", want, err)
	}
	return repo, nil
}

func unpack(ctx context.Context, r io.Reader, want, dir string) (*Repo, error) {
	if !isHex(want) {
		return nil, errs.Errorf(errs.Invalid, "%.80q is not the hash of a commit", want)
	}
	t, err := openTarget(dir)
	if err != nil {
		return nil, err
	}
	if err := t.root.Close(); err != nil {
		return nil, err
	}
	format := objectFormat(want)
	if err := git(ctx, dir, nil, "init", "-q", "--template=", "--initial-branch=main", "--object-format="+format); err != nil {
		return nil, err
	}
	if err := partial(dir, format); err != nil {
		return nil, err
	}
	var tag []byte
	err = piped(func(w io.Writer) (err error) { tag, err = copyPack(w, r, len(want)/2); return err }, func(r io.Reader) error {
		err := git(ctx, dir, r, "index-pack", "--stdin", "--promisor=overland", "--max-input-size="+strconv.FormatInt(PackLimit, 10))
		if said := (*gitError)(nil); errors.As(err, &said) {
			return errs.E(errs.Untrusted, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := git(ctx, dir, nil, "update-ref", "--no-deref", "HEAD", want); err != nil {
		return nil, notWhole(err)
	}
	if err := placeTag(ctx, dir, tag); err != nil {
		return nil, err
	}
	repo, err := Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := repo.holds(ctx, want, t.room); err != nil {
		return nil, err
	}
	if err := git(ctx, dir, nil, "reset", "-q", "--hard"); err != nil {
		return nil, notWhole(err)
	}
	// The count reads every older commit: a missing one would change the version.
	if _, err := repo.Resolve(ctx, want); err != nil {
		return nil, notWhole(err)
	}
	return repo, nil
}

// placeTag gives the tag whose text came in a pack its name, so that Describe finds it; nothing for none.
func placeTag(ctx context.Context, dir string, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	name, err := tagName(text)
	if err != nil {
		return errs.E(errs.Untrusted, err)
	}
	const limit = 1 << 10
	hash, err := output(ctx, dir, limit, bytes.NewReader(text), "hash-object", "-t", "tag", "--literally", "--stdin")
	if err != nil {
		return err
	}
	if err := git(ctx, dir, nil, "update-ref", "refs/tags/"+name, strings.TrimSpace(string(hash))); err != nil {
		return notWhole(err)
	}
	return nil
}

// holds refuses a commit whose files would have more than room bytes together: a few objects, each
// named again and again, are files without end.
func (r *Repo) holds(ctx context.Context, hash string, room int64) error {
	tree, err := r.treeOf(ctx, hash)
	if err == nil && tree == "" {
		err = errs.Errorf(errs.Untrusted, "commit %s is not there", hash)
	}
	if err != nil {
		return notWhole(err)
	}
	list, err := r.list(ctx, tree, false)
	if errors.Is(err, errTooMuch) {
		return errs.Errorf(errs.Invalid, "its list of files is longer than %d bytes", maxList)
	}
	if err != nil && errs.KindOf(err) == errs.Invalid {
		return err
	}
	if err != nil {
		return notWhole(err)
	}
	var names strings.Builder
	for _, e := range list {
		if e.mode != modeSubmodule {
			names.WriteString(e.hash + "\n")
		}
	}
	return r.fits(ctx, names.String(), room)
}

func notWhole(err error) error {
	if errs.KindOf(err) == errs.Cancelled {
		return err
	}
	return errs.E(errs.Untrusted, fmt.Errorf("the pack does not hold all of it: %w", err))
}

// partial writes the configuration of a repository from which older files are missing, as git clone
// --filter leaves it. There is nowhere to fetch them from.
func partial(dir, format string) error {
	const text = `[core]
	repositoryformatversion = 1
	filemode = true
	bare = false
[extensions]
	objectformat = %s
	partialclone = overland
[remote "overland"]
	promisor = true
`
	// What of a commit's .gitattributes makes a file many times as long as it is.
	const attributes = "* -ident !working-tree-encoding\n"
	const mode, folder = 0o644, 0o755
	info := filepath.Join(dir, ".git", "info")
	return errors.Join(os.WriteFile(filepath.Join(dir, ".git", "config"), fmt.Appendf(nil, text, format), mode),
		os.MkdirAll(info, folder), os.WriteFile(filepath.Join(info, "attributes"), []byte(attributes), mode))
}

// git runs a git command for its effect; its output is dropped.
func git(ctx context.Context, dir string, stdin io.Reader, args ...string) error {
	const limit = 4 << 10 // of the pack's name, which it prints
	_, err := output(ctx, dir, limit, stdin, args...)
	return err
}
