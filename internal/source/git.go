package source

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/procgroup"
)

// settings hold for every git command. Each one stops a repository, or this machine, from running a
// program or from changing a byte.
var settings = []string{
	"safe.directory=*", // whoever owns the folder: nothing in it is run
	"core.hooksPath=/dev/null",
	"core.fsmonitor=false",
	"core.commitGraph=false", // a file of parents that git believes without reading the commits
	"core.autocrlf=false",
	"core.eol=lf",
	"core.attributesFile=/dev/null",
	"core.excludesFile=/dev/null",
	"core.quotePath=false",
	"core.pager=cat",
	"log.showSignature=false",
	"protocol.allow=never", // a partial clone would fetch, through a command that its own configuration names
}

// allocLimit is the most memory that git may set aside for one object. Files that are larger than half of it
// (core.bigFileThreshold) are no deltas and are not held in memory.
const allocLimit = "1g"

func environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/dev/null",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_REPLACE_OBJECTS=1", // replace refs and grafts would change a commit under its own name
		"GIT_GRAFT_FILE=/dev/null",
		"GIT_NO_LAZY_FETCH=1",
		"GIT_ALLOW_PROTOCOL=",
		"GIT_OPTIONAL_LOCKS=0", // reading changes nothing, not even the index
		"GIT_TERMINAL_PROMPT=0",
		"GIT_PAGER=cat",
		"GIT_ALLOC_LIMIT=" + allocLimit, // an object may say that it unpacks to any size
	}
}

// command returns git in dir with args, in a process group of its own that
// ends as a whole when ctx does.
func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	full := make([]string, 0, 2*len(settings)+len(args))
	for _, s := range settings {
		full = append(full, "-c", s)
	}
	cmd := procgroup.Command(ctx, 5*time.Second, environment(), "git", append(full, args...)...)
	cmd.Dir = dir
	return cmd
}

// command is command for git that reads objects.
func (r *Repo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := command(ctx, r.dir, args...)
	cmd.Env = append(cmd.Env, r.env...)
	return cmd
}

// output returns what git prints, at most limit bytes; errTooMuch when that is more.
func output(ctx context.Context, dir string, limit int64, stdin io.Reader, args ...string) ([]byte, error) {
	return (&Repo{dir: dir}).output(ctx, limit, stdin, args...)
}

// output is output for a command that reads objects.
func (r *Repo) output(ctx context.Context, limit int64, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := r.command(ctx, args...)
	cmd.Stdin = stdin
	return run(ctx, cmd, limit)
}

const maxSays = 8 << 10 // bytes of what git complains of that are kept

func run(ctx context.Context, cmd *exec.Cmd, limit int64) ([]byte, error) {
	var stdout bytes.Buffer
	out, says := &capped{w: &stdout, left: limit}, &fsx.Beginning{Most: maxSays}
	cmd.Stdout, cmd.Stderr = out, says
	err := cmd.Run()
	if out.over {
		return nil, errTooMuch
	}
	if err != nil {
		return nil, explain(ctx, err, cmd.Args[1+2*len(settings)], says.String())
	}
	return stdout.Bytes(), nil
}

// explain returns why a git command failed, in its own last words.
func explain(ctx context.Context, err error, verb, says string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("git %s: %w", verb, ctx.Err())
	}
	if errors.Is(err, exec.ErrNotFound) {
		return errs.Hint(errs.Errorf(errs.NotFound, "git is not on this machine"), "install the package git")
	}
	if err := tooLarge(says); err != nil {
		return err
	}
	says = strings.TrimSpace(says)
	if i := strings.LastIndexByte(says, '\n'); i >= 0 && !strings.Contains(says, "fatal: ") {
		says = says[i+1:]
	} else if i := strings.Index(says, "fatal: "); i >= 0 {
		says, _, _ = strings.Cut(says[i+len("fatal: "):], "\n")
	}
	if says == "" {
		return fmt.Errorf("git %s: %w", verb, err)
	}
	return &gitError{verb: verb, says: says, err: err}
}

// tooLarge returns an error when git says that an object takes more memory than it may have, else nil.
func tooLarge(says string) error {
	if !strings.Contains(says, "fatal: attempting to allocate ") {
		return nil
	}
	return errs.Hint(errs.Errorf(errs.Invalid, "an object takes more memory than %s to unpack", allocLimit),
		"git fsck says which; no file that git packs as a change of another one is that large, so do not trust this repository")
}

// gitError is a git command that failed, with its output.
type gitError struct {
	verb, says string
	err        error
}

func (e *gitError) Error() string { return "git " + e.verb + ": " + e.says }
func (e *gitError) Unwrap() error { return e.err }

// batch calls read with the output of git cat-file for the objects that names lists.
func (r *Repo) batch(ctx context.Context, names io.Reader, read func(*bufio.Reader) error) error {
	return r.answers(ctx, names, read, "--buffer")
}

// answers is batch with the options of git cat-file: without --buffer each object comes when it was
// asked for.
func (r *Repo) answers(ctx context.Context, names io.Reader, read func(*bufio.Reader) error, options ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.command(ctx, append([]string{"cat-file", "--batch"}, options...)...)
	says := &fsx.Beginning{Most: maxSays}
	cmd.Stdin, cmd.Stderr = names, says
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return explain(ctx, err, "cat-file", "")
	}
	if err := read(bufio.NewReaderSize(out, 256<<10)); err != nil {
		cancel()
		_ = cmd.Wait() // we ended it ourselves, or it says why it ended
		return cmp.Or(tooLarge(says.String()), err)
	}
	if err := cmd.Wait(); err != nil {
		return explain(ctx, err, "cat-file", says.String())
	}
	return nil
}

var errTooMuch = errors.New("git printed more than expected")

// capped passes on at most left bytes, and then fails.
type capped struct {
	w    io.Writer
	left int64
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		c.over = true
		return 0, errTooMuch
	}
	c.left -= int64(len(p))
	return c.w.Write(p)
}
