package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"overland/internal/errs"
)

// Unpack makes a git repository in dir, which must be empty or absent, from the pack in r, with the
// commit want as its HEAD and in its folder. git computes every object's name from its bytes, so
// nothing but the commit that is asked for can come out; anything else in the pack, or behind it,
// has no effect. The repository does not have the files of older commits, and is configured to
// expect that. The caller removes dir when Unpack fails. Errors: Invalid for a want that is not a
// hash, Untrusted for a pack that is damaged, longer than PackLimit, or not whole.
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
	in := &noting{Reader: r}
	err = git(ctx, dir, in, "index-pack", "--stdin", "--promisor=overland", "--max-input-size="+strconv.FormatInt(PackLimit, 10))
	var said *gitError
	switch {
	case in.err != nil:
		return nil, in.err // git has only seen that it ended
	case errors.As(err, &said):
		return nil, errs.E(errs.Untrusted, err)
	case err != nil:
		return nil, err
	}
	if err := git(ctx, dir, nil, "update-ref", "--no-deref", "HEAD", want); err != nil {
		return nil, notWhole(err)
	}
	if err := git(ctx, dir, nil, "reset", "-q", "--hard"); err != nil {
		return nil, notWhole(err)
	}
	repo, err := Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	// The count reads every older commit: a missing one would change the version.
	if _, err := repo.Resolve(ctx, want); err != nil {
		return nil, notWhole(err)
	}
	return repo, nil
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
	const mode = 0o644
	return os.WriteFile(filepath.Join(dir, ".git", "config"), fmt.Appendf(nil, text, format), mode)
}

// git runs a git command for its effect; its output is dropped.
func git(ctx context.Context, dir string, stdin io.Reader, args ...string) error {
	const limit = 4 << 10 // of the pack's name, which it prints
	_, err := output(ctx, dir, limit, stdin, args...)
	return err
}

// noting remembers why reading ended, when it was not io.EOF.
type noting struct {
	io.Reader
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	k, err := n.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		n.err = err
	}
	return k, err
}
