package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"overland/internal/builder"
	"overland/internal/confine"
	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/procgroup"
	"overland/internal/session"
)

// environ is the command's environment, but for what a session adds:
// nothing of the caller's but PATH.
func (b *Builder) environ(j builder.Job, s settings, w place) []string {
	path, set := environ.Lookup(b.o.Env, "PATH")
	if !set {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	env := j.Platform.GoEnv()
	for _, kv := range j.Platform.GoEnv() { // also by names that a command can leave alone when it unsets the others for a generator
		env = append(env, "OVERLAND_"+kv)
	}
	return append(env, "PATH="+path, "HOME="+w.home, "TMPDIR="+w.tmp, "PWD="+w.src, "GOCACHE="+w.cache,
		"OVERLAND_PLATFORM="+string(j.Platform), "OVERLAND_VERSION="+s.Version,
		"SOURCE_DATE_EPOCH="+strconv.FormatInt(s.Time, 10), "TZ=UTC", "LC_ALL=C")
}

// argv sets the umask, which belongs to a whole process, in the command's own.
func argv(s settings) []string {
	return append([]string{"sh", "-c", `umask 022 && exec "$@"`, "sh"}, s.Run...)
}

// missing are the requests of a command that a replay could not answer.
type missing []error

func (m missing) Error() string {
	return fmt.Sprintf("%d requests could not be answered; the first: %v", len(m), m[0])
}

// replay runs the command where only what the commit's lock names can be fetched.
func (b *Builder) replay(ctx context.Context, j builder.Job, s settings, w place, said io.Writer) error {
	lock, err := j.Lock(ctx)
	if err != nil {
		return err
	}
	res, err := session.Replay(ctx, session.Options{
		Blobs: b.o.Store, Lock: lock, Command: argv(s), WorkDir: w.src, Environ: b.environ(j, s, w), Stdout: said, Stderr: said,
		Isolation: b.o.Isolation, Own: w.own(), Limits: limits(j, w),
		// It names the caches. Two processes never build the same thing at the
		// same time: builder holds a flock.
		LockFile: filepath.Join("/", j.Commit.Tree, s.Version, j.Name, string(j.Platform)), Dir: b.o.Sessions,
	})
	if res != nil && len(res.Problems) > 0 {
		return missing(res.Problems)
	}
	return err
}

// nested runs the command in a cell, from which only the session around can be reached.
func (b *Builder) nested(ctx context.Context, j builder.Job, s settings, w place, said io.Writer) error {
	return session.Nested(ctx, b.o.Env, session.Options{
		Command: argv(s), WorkDir: w.src, Environ: b.environ(j, s, w), Stdout: said, Stderr: said, Own: w.own(), Limits: limits(j, w),
	})
}

// inSession runs the command in the session that this process is in, as it is. When ctx ends, so
// does everything that it started.
func (b *Builder) inSession(ctx context.Context, j builder.Job, s settings, w place, said io.Writer) error {
	args := argv(s)
	env := environ.Without(append(session.Own(b.o.Env), b.environ(j, s, w)...))
	cmd := procgroup.Command(ctx, 5*time.Second, env, args[0], args[1:]...)
	cmd.Dir = w.src
	cmd.Stdout, cmd.Stderr = said, said
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		_ = cmd.Cancel()
	}
	return cmp.Or(ctx.Err(), err)
}

// explain returns what a person needs to know about a command that failed.
func explain(err error, s settings, said *tail) error {
	what := strings.Join(s.Run, " ")
	var (
		inside *session.ExitError
		most   *confine.LimitError
		here   *exec.ExitError
		misses missing
	)
	switch {
	case errors.As(err, &most):
		return errs.Hint(errs.Errorf(errs.Invalid, "%s: %w%s", what, err, said.lines()), "%s", more(most))
	case errors.As(err, &misses):
		return errs.Hint(errs.Errorf(errs.Unavailable, "%s: %w%s", what, err, said.lines()),
			"with a network: overland record -- overland build, then commit %s", lockfile.Name)
	case errors.As(err, &inside):
		err = fmt.Errorf("it ended with exit code %d", inside.Code)
	case errors.As(err, &here):
		err = fmt.Errorf("it ended with %w", err)
	case errors.Is(err, exec.ErrWaitDelay):
		err = errors.New("it left a process behind")
	case errs.KindOf(err) != errs.Invalid:
		return fmt.Errorf("%s: %w", what, err)
	}
	lines := said.lines()
	hint := errs.HintOf(err)
	if hint == "" && strings.Contains(strings.ToLower(lines), "exec format error") {
		hint = "it ran a program that it made for the target: GOOS, GOARCH and GOARM are the target's, so run generators without them: " +
			"env -u GOOS -u GOARCH -u GOARM go run …; OVERLAND_GOOS, OVERLAND_GOARCH and OVERLAND_GOARM stay"
	}
	hint = cmp.Or(hint, "mend it and commit; its last lines say where")
	return errs.Hint(errs.Errorf(errs.Invalid, "%s: %w%s", what, err, lines), "%s", hint)
}
