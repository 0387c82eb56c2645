package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
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

// environ is the command's environment, but for what a session adds: nothing of the caller's but PATH.
func (b *Builder) environ(t Task, w place) []string {
	path, set := environ.Lookup(b.o.Env, "PATH")
	if !set {
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	}
	return slices.Concat(t.Environ, []string{
		"PATH=" + path, "HOME=" + w.home, "TMPDIR=" + w.tmp, "PWD=" + w.src, "GOCACHE=" + w.cache,
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(t.Time.Unix(), 10), "TZ=UTC", "LC_ALL=C",
	})
}

// environOf is what the command of an artifact has in its environment beside what every command has.
func environOf(j builder.Job, s settings) []string {
	env := j.Platform.GoEnv()
	for _, kv := range j.Platform.GoEnv() { // also by names that a command can leave alone when it unsets the others for a generator
		env = append(env, "OVERLAND_"+kv)
	}
	return append(env, "OVERLAND_PLATFORM="+string(j.Platform), "OVERLAND_VERSION="+s.Version)
}

// argv sets the umask, which belongs to a whole process, in the command's own.
func (t Task) argv() []string {
	return append([]string{"sh", "-c", `umask 022 && exec "$@"`, "sh"}, t.Run...)
}

// missing are the requests of a command that a replay could not answer.
type missing []error

func (m missing) Error() string {
	return fmt.Sprintf("%d requests could not be answered; the first: %v", len(m), m[0])
}

// options are those of a session that runs the command of t.
func (b *Builder) options(t Task, w place, said io.Writer) session.Options {
	return session.Options{
		Command: t.argv(), WorkDir: w.src, Environ: b.environ(t, w), Stdout: said, Stderr: said, Own: w.own(), Limits: t.Limits,
	}
}

// replay runs the command where only what the commit's lock names can be fetched.
func (b *Builder) replay(ctx context.Context, t Task, w place, said io.Writer) error {
	o := b.options(t, w, said)
	var err error
	if o.Lock, err = t.Lock(ctx); err != nil {
		return err
	}
	o.Blobs, o.Isolation, o.Dir = b.o.Store, b.o.Isolation, b.o.Sessions
	o.LockFile = filepath.Join("/", t.Name) // it names the caches
	res, err := session.Replay(ctx, o)
	if res != nil && len(res.Problems) > 0 {
		return missing(res.Problems)
	}
	return err
}

// nested runs the command in a cell, from which only the session around can be reached.
func (b *Builder) nested(ctx context.Context, t Task, w place, said io.Writer) error {
	return session.Nested(ctx, b.o.Env, b.options(t, w, said))
}

// inSession runs the command in the session that this process is in, as it is. When ctx ends, so
// does everything that it started.
func (b *Builder) inSession(ctx context.Context, t Task, w place, said io.Writer) error {
	args := t.argv()
	env := environ.Without(append(session.Own(b.o.Env), b.environ(t, w)...))
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
func (t Task) explain(err error, said *tail) error {
	what := t.what()
	var (
		inside *session.ExitError
		most   *confine.LimitError
		here   *exec.ExitError
		misses missing
	)
	switch {
	case errors.As(err, &most):
		return errs.Hint(errs.Errorf(errs.Invalid, "%s: %w%s", what, err, said.lines()), "%s", t.More(most))
	case errors.As(err, &misses):
		return errs.Hint(errs.Errorf(errs.Unavailable, "%s: %w%s", what, err, said.lines()),
			"with a network: overland record -- %s, then commit %s", t.Verb, lockfile.Name)
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
