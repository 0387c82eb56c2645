package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"overland/internal/confine"
	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/record"
)

// Replay runs the command where only what o.Lock holds can be fetched: in a cell, unless o.Isolation
// is none. All that it started ends with it. An error of the command is an *ExitError.
func Replay(ctx context.Context, o Options) (*Result, error) {
	if o.Blobs == nil {
		o.Blobs = o.Store
	}
	r := record.NewReplayer(o.Blobs, o.Lock)
	s, err := open(ctx, o, r)
	if err != nil {
		return nil, err
	}
	defer s.close()
	r.Forget() // what openTools requested
	strangers := ""
	if o.Isolation == cell.None {
		strangers, err = s.outside(ctx, Replaying)
	} else {
		err = s.inside(ctx)
	}
	if exit := (*ExitError)(nil); errors.As(err, &exit) {
		r.Inspect(ctx)
	}
	misses := r.Misses()
	if o.Proofs {
		record.Prove(ctx, r, s.protocols()...)
	}
	return &Result{Lock: r.Used(), Problems: misses, Strangers: strangers}, err
}

// inside runs the command in a cell, in which this process answers.
func (s *session) inside(ctx context.Context) error {
	c, err := s.cell()
	if err != nil {
		return err
	}
	git, err := gitDirsOf(ctx, c.Write)
	if err != nil {
		return fmt.Errorf("what git obeys in the folders of the command: %w", err)
	}
	c.Read = append(slices.Clone(c.Read), git.shown()...)
	stop := func() {}
	c.Listen = func(l net.Listener) ([]string, error) {
		stop = s.serveCell(l)
		return s.environ(ctx, l.Addr().String())
	}
	exit, _, err := cell.Run(ctx, c)
	stop()
	return errors.Join(git.unchanged(), s.o.ended(ctx, exit, err))
}

// ended returns the error of a command in a cell.
func (o *Options) ended(ctx context.Context, exit confine.Exit, err error) error {
	if exit.Code != 0 && (err == nil || ctx.Err() != nil) {
		return &ExitError{o.Command[0], exit.Code}
	}
	return err
}

// cell returns how the command is confined. Home and temporary folder are empty ones of its own,
// unless it was given some that it can see.
func (s *session) cell() (cell.Options, error) {
	o := &s.o
	c := cell.Options{
		Command: o.Command, Dir: o.WorkDir, Own: append(slices.Clone(o.Own), s.caches), Write: slices.Clone(o.Write), Read: o.Read, Hide: o.Hide,
		Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, Limits: o.Limits, Grace: shutdown,
	}
	if c.Dir == "" {
		var err error
		if c.Dir, err = os.Getwd(); err != nil {
			return c, err
		}
	}
	seen := func(path string) bool {
		return path != "" && slices.ContainsFunc(slices.Concat(c.Own, c.Write), func(dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") })
	}
	if !seen(c.Dir) {
		if err := project(c.Dir); err != nil {
			return c, err
		}
		c.Write = append([]string{c.Dir}, c.Write...) // the owner of the first one is the command's
	}
	set := map[string]string{}
	for name, dir := range map[string]string{"HOME": "home", "TMPDIR": "tmp", "OVERLAND_HOME": "site"} {
		set[name] = value(o.Environ, name)
		if seen(set[name]) {
			continue
		}
		set[name] = filepath.Join(s.caches, dir)
		const mode = 0o700
		if err := os.MkdirAll(set[name], mode); err != nil {
			return c, err
		}
	}
	c.Tmp = set["TMPDIR"]
	o.Environ = merge(slices.DeleteFunc(slices.Clone(o.Environ), func(kv string) bool {
		name, path, _ := strings.Cut(kv, "=")
		return slices.Contains(places(), name) && !seen(path)
	}), set)
	c.Environ = o.Environ
	return c, nil
}

// project returns an error when dir holds more than somebody's project.
func project(dir string) error {
	home := os.Getenv("HOME")
	common := strings.Fields("/ /dev /etc /home /opt /proc /root /run /srv /sys /tmp /usr /var /var/lib /var/tmp")
	if slices.Contains(common, dir) || home != "" && (home == dir || strings.HasPrefix(home, dir+"/")) {
		return errs.Hint(errs.Errorf(errs.Invalid, "the command may change its working folder, and %s is more than a project", dir),
			"go into the project's folder, and run it there")
	}
	if exists(dir, "HEAD") && exists(dir, "objects") && exists(dir, "refs") {
		return errs.Hint(errs.Errorf(errs.Invalid, "the command may change its working folder, and %s is a git repository without a work tree", dir),
			"run it in a clone: git clone %s", dir)
	}
	return nil
}

func exists(parts ...string) bool {
	_, err := os.Lstat(filepath.Join(parts...))
	return err == nil
}

// places returns the variables that name folders and sockets of the caller's.
func places() []string {
	return strings.Fields(`GOCACHE XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_RUNTIME_DIR SSH_AUTH_SOCK DOCKER_HOST
		OVERLAND_COMPILED OVERLAND_AGENTS`)
}
