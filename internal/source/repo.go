package source

import (
	"context"
	"errors"
	"time"
)

// Repo is a git repository on this machine. It is safe for concurrent use.
type Repo struct {
	dir string // what git runs in: the top of the work tree, or the bare repository
}

// Commit is one commit, and what Overland derives from it.
type Commit struct {
	Hash    string    // 40 or 64 hex
	Tree    string    // hex of the tree; "dirty:sha256:…" for a Dirty commit made by Dirty
	Time    time.Time // committer time, UTC
	Count   int       // commits reachable from it, itself included
	Version string    // "r412.abcdef012345"; with "-dirty.<12 hex>" when made by Dirty
	Subject string    // first line of the message
	// Dirty reports that the folder differs from this commit (Resolve of HEAD) or that its content IS the folder's (Dirty).
	Dirty   bool
	Changed []string // the paths that differ, sorted, at most 100
}

// Open returns the repository that holds dir (which may be below its top), or a NotFound error with a hint.
func Open(ctx context.Context, dir string) (*Repo, error) { return nil, errors.ErrUnsupported }

// Dir returns the top of the work tree, or the folder of a bare repository.
func (r *Repo) Dir() string { return r.dir }

// Resolve returns the commit that rev names: a branch, tag or hash; "" is HEAD. Dirty and Changed are set for HEAD only.
// Errors: NotFound for an unknown rev or an empty repository, Invalid for a shallow clone, whose count would lie.
func (r *Repo) Resolve(ctx context.Context, rev string) (Commit, error) {
	return Commit{}, errors.ErrUnsupported
}

// Dirty returns HEAD with what the folder holds in place of its tree: tracked files as they are and untracked files
// that are not ignored. When nothing differs it returns HEAD itself.
func (r *Repo) Dirty(ctx context.Context) (Commit, error) { return Commit{}, errors.ErrUnsupported }

// Checkout writes the files of c below dir, which must be empty or absent: files 0644 or 0755, folders 0755, whatever
// the umask. Symbolic links that leave dir are left out. Submodules and LFS pointers are Invalid errors.
func (r *Repo) Checkout(ctx context.Context, c Commit, dir string) error {
	return errors.ErrUnsupported
}

// ReadFile returns the file path (slash-separated, from the top) of c, at most 1 MiB; fs.ErrNotExist when c has none.
func (r *Repo) ReadFile(ctx context.Context, c Commit, path string) ([]byte, error) {
	return nil, errors.ErrUnsupported
}
