package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"overland/internal/errs"
)

// Repo is a git repository on this machine. It is safe for concurrent use.
type Repo struct {
	dir     string   // what git runs in: the top of the work tree, or the bare repository
	gitDir  string   // the folder that git calls .git
	env     []string // for every git command that reads objects
	bare    bool
	shallow bool
}

// Commit is one commit, and what Overland derives from it.
type Commit struct {
	Hash    string    // 40 or 64 hex
	Tree    string    // hex of the tree; "dirty:<64 hex>" when made by Repo.Dirty
	Time    time.Time // committer time, UTC
	Count   int       // commits reachable from it, itself included
	Version string    // "r412.abcdef012345", or what Tagged makes of it; with "-dirty.<12 hex>" when made by Repo.Dirty
	Tag     Tag       // of Describe; zero before
	Subject string    // first line of the message
	// Dirty reports that the folder differs from this commit (Resolve of HEAD) or that the
	// content is the folder's (Repo.Dirty).
	Dirty   bool
	Changed []string // the paths that differ, sorted, at most 100
	// Modified is Changed without the files that git does not track: new
	// files are not part of any commit.
	Modified []string
}

// Working reports whether the content is the folder's and not a commit's.
func (c Commit) Working() bool { return strings.HasPrefix(c.Tree, dirtyTree) }

// Open returns the repository that holds dir (which may be below its top),
// or a NotFound error with a hint.
func Open(ctx context.Context, dir string) (*Repo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "there is no folder %s", dir), "name the folder of your repository")
	}
	out, err := output(ctx, dir, 64<<10, nil, "rev-parse", "--is-bare-repository", "--is-shallow-repository",
		"--is-inside-work-tree", "--absolute-git-dir", "--show-cdup")
	var said *gitError
	switch {
	case errors.As(err, &said):
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s is not in a git repository: %s", dir, said.says),
			"cd to your repository, or make one: git init && git add -A && git commit -m start")
	case err != nil:
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) < 4 {
		return nil, fmt.Errorf("open repository %s: git rev-parse printed %q", dir, out)
	}
	r := &Repo{dir: dir, gitDir: lines[3], bare: lines[2] != "true", shallow: lines[1] == "true"}
	switch {
	case r.bare:
		r.dir = lines[3]
	case len(lines) > 4:
		r.dir = filepath.Join(dir, lines[4])
	}
	return r, nil
}

// Dir returns the top of the work tree, or the folder of a bare repository.
func (r *Repo) Dir() string { return r.dir }

// Resolve returns the commit that rev names: a branch, tag or hash; "" is HEAD. Dirty and Changed
// are set for HEAD only. Errors: NotFound for an unknown rev or an empty repository, Invalid for a
// shallow clone, whose count would be wrong.
func (r *Repo) Resolve(ctx context.Context, rev string) (Commit, error) {
	c, err := r.resolve(ctx, rev)
	if err != nil || r.bare || (rev != "" && rev != "HEAD") {
		return c, err
	}
	if c.Changed, c.Modified, err = r.changed(ctx); err != nil {
		return Commit{}, err
	}
	c.Dirty = len(c.Changed) > 0
	return c, nil
}

func (r *Repo) resolve(ctx context.Context, rev string) (Commit, error) {
	rev = cmp.Or(rev, "HEAD")
	if strings.HasPrefix(rev, "-") || strings.ContainsAny(rev, "\n\x00") {
		return Commit{}, errs.Hint(errs.Errorf(errs.Invalid, "revision %q: not a branch, tag or commit", rev),
			"see git branch -a and git tag")
	}
	if r.shallow {
		return Commit{}, errs.Hint(errs.Errorf(errs.Invalid,
			"%s is a shallow clone: its history is cut short, so a version counted from it would be wrong", r.dir),
			"git fetch --unshallow")
	}
	hash, kind, body, err := r.object(ctx, rev+"^{commit}", 1<<20)
	switch {
	case errors.Is(err, errMissing) && rev == "HEAD":
		return Commit{}, errs.Hint(errs.Errorf(errs.NotFound, "%s has no commit yet", r.dir),
			"git add -A && git commit -m start")
	case errors.Is(err, errMissing):
		return Commit{}, errs.Hint(errs.Errorf(errs.NotFound, "revision %q: no such commit in %s", rev, r.dir),
			"see git branch -a, git tag and git log; fetch it first when it is elsewhere")
	case err != nil:
		return Commit{}, fmt.Errorf("revision %q: %w", rev, err)
	case kind != "commit":
		return Commit{}, errs.Errorf(errs.Invalid, "revision %q is a %s, not a commit", rev, kind)
	}
	c, err := parseCommit(body)
	if err != nil {
		return Commit{}, fmt.Errorf("commit %s: %w", hash, err)
	}
	c.Hash = hash
	out, err := output(ctx, r.dir, 1<<10, nil, "rev-list", "--count", hash, "--")
	if err != nil {
		return Commit{}, fmt.Errorf("count the commits below %s: %w", hash, err)
	}
	if c.Count, err = strconv.Atoi(strings.TrimSpace(string(out))); err != nil {
		return Commit{}, fmt.Errorf("count the commits below %s: %w", hash, err)
	}
	c.Version = c.counted()
	return c, nil
}

// counted returns the version that counting the commits gives.
func (c Commit) counted() string { return fmt.Sprintf("r%d.%.12s", c.Count, c.Hash) }

// parseCommit reads the headers of a commit object (gitformat: lines up to
// an empty one, then the message).
func parseCommit(b []byte) (Commit, error) {
	head, message, _ := strings.Cut(string(b), "\n\n")
	var c Commit
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch key {
		case "tree":
			c.Tree = value
		case "committer":
			f := strings.Fields(value[strings.LastIndexByte(value, '>')+1:])
			if len(f) == 0 {
				return Commit{}, errors.New("no commit time")
			}
			sec, err := strconv.ParseInt(f[0], 10, 64)
			if err != nil {
				return Commit{}, fmt.Errorf("commit time: %w", err)
			}
			c.Time = time.Unix(sec, 0).UTC()
			const last = 9999 // that JSON, RFC 3339 and archives have a word for
			if year := c.Time.Year(); year < 0 || year > last || sec < -1<<40 || sec > 1<<40 {
				return Commit{}, fmt.Errorf("commit time: %d is not one of the years 0 to %d", sec, last)
			}
		}
	}
	if !isHex(c.Tree) {
		return Commit{}, errors.New("no tree")
	}
	c.Subject, _, _ = strings.Cut(strings.TrimSpace(message), "\n")
	return c, nil
}

func isHex(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
