package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"overland/internal/appfile"
	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/procfs"
	"overland/internal/runtime"
)

// command is an instance ready to be started: everything that can be refused has been.
type command struct {
	r        *Runtime
	i        runtime.Instance
	user     runtime.User
	spec     confine.Spec
	null     *os.File
	exit     *os.File
	logStart int64
}

// prepare checks i and opens what its process gets. The caller closes it.
func (r *Runtime) prepare(i runtime.Instance) (_ *command, err error) {
	if err := runnable(i.Program); err != nil {
		return nil, err
	}
	i.Dir = cmp.Or(i.Dir, "/")
	if info, err := os.Stat(i.Dir); err != nil || !info.IsDir() {
		return nil, errs.Errorf(errs.NotFound, "working directory %s: not a directory", i.Dir)
	}
	c := &command{r: r, i: i}
	if c.user, err = serviceUser(i); err != nil {
		return nil, err
	}
	if c.spec, err = spec(i, c.user); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.null, err = os.OpenFile(os.DevNull, os.O_RDONLY, 0); err != nil {
		return nil, err
	}
	if info, err := os.Stat(i.Log); err == nil {
		c.logStart = info.Size()
	}
	c.spec.Stdin, c.spec.Stdout, c.spec.Stderr = c.null, nil, nil
	// A full disk keeps nobody down: the exit of an adopted service is unknown then.
	c.exit, _ = os.OpenFile(exitPath(i.Record), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	return c, nil
}

func (c *command) close() {
	for _, f := range []*os.File{c.null, c.exit} {
		if f != nil {
			f.Close()
		}
	}
}

// start starts the service: apart from the machine or, where the machine cannot do that and the
// service does not insist, without namespaces.
func (c *command) start(ctx context.Context) (record, error) {
	rec := newRecord(c.i, c.logStart)
	rec.UID, rec.GID, rec.Limits = c.user.UID, c.user.GID, c.spec.Limits
	if os.Geteuid() == 0 && !c.r.noGroups {
		rec.Group = rec.groupName(c.i.Record)
	}
	if rec.Group != "" {
		limits := rec.Limits
		limits.Processes = cmp.Or(limits.Processes, mostProcesses)
		if c.spec.Group = confine.MakeGroup(rec.Group, limits); c.spec.Group != nil {
			rec.Limits = limits
		}
	}
	if c.spec.Group == nil {
		rec.Group = ""
	}
	if err := c.devices(&rec); err != nil {
		return rec, err
	}
	// The mark comes first: readers of /proc/PID/environ stop after 1 MiB.
	c.spec.Env = append([]string{runVar + "=" + rec.mark(c.i.Record)}, c.spec.Env...)
	if err := rec.write(c.r.o.FS, c.i.Record); err != nil && !c.unrecorded(rec, err) {
		return rec, err
	}
	err := c.launch(ctx, &rec)
	for err != nil {
		less, missing := yield(&c.spec, c.i, err)
		if !less {
			break
		}
		rec.Confined.Missing = append(rec.Confined.Missing, missing)
		err = c.launch(ctx, &rec)
	}
	return rec, err
}

// yield takes out of s what err says that this machine cannot do, and reports whether it did: not for
// a service that insists on all of it.
func yield(s *confine.Spec, i runtime.Instance, err error) (less bool, missing string) {
	var unable *confine.UnableError
	switch {
	case !errors.As(err, &unable) || i.Spec.Isolation == appfile.Required:
		return false, ""
	case unable.What == confine.SystemCallFilters && s.Filter != confine.FilterOff:
		s.Filter = confine.FilterOff
		return true, fmt.Sprintf("system-call filter: %v · %s", err, unable.Remedy)
	case !s.Bare:
		s.Bare, s.User.Share = true, true
		return true, fmt.Sprintf("files and processes of its own: %v · %s", err, unable.Remedy)
	}
	return false, ""
}

// devices keeps the service from the machine's hardware.
func (c *command) devices(rec *record) error {
	want := c.i.Spec.Rights
	if want.Isolation == appfile.NoIsolation {
		return nil
	}
	err := c.spec.Group.AllowDevices(want.Devices)
	switch {
	case err == nil:
		return nil
	case slices.Contains(want.Capabilities, "mknod"): // nothing else would keep it from the disks
		return errs.Hint(errs.E(errs.Unavailable, fmt.Errorf("capability mknod: devices cannot be kept apart: %w", err)),
			"mount control groups, or leave out the capability")
	case len(want.Devices) > 0 && os.Geteuid() == 0:
		return errs.Hint(errs.E(errs.Unavailable, err), "mount control groups, and look at the devices of overland.yaml")
	}
	rec.Confined.Missing = append(rec.Confined.Missing, fmt.Sprintf("device control: %v; its user and its own /dev keep it from hardware; mount control groups", err))
	return nil
}

func (c *command) launch(ctx context.Context, rec *record) error {
	missing := rec.Confined.Missing
	rec.KeepsLog = true
	v := confine.Service{Linger: c.i.StopTimeout(), Exit: c.exit, Log: c.i.Log, LogLimits: c.r.o.Rotation.Limits()}
	v.Ready = func(pid int, done confine.Applied) error {
		s, err := procfs.Read(pid)
		if err != nil {
			return fmt.Errorf("read process %d: %w", pid, err)
		}
		rec.PID, rec.Start = pid, s.Start
		rec.Confined = runtime.Confined{
			User: fmt.Sprintf("%d:%d", c.user.UID, c.user.GID), Apart: !c.spec.Bare, Filter: done.Filter,
			Limits: done.Limits, Missing: append(missing, done.Missing...),
		}
		if err := rec.write(c.r.o.FS, c.i.Record); err != nil && !c.unrecorded(*rec, err) {
			return err
		}
		return nil
	}
	_, _, err := confine.StartService(ctx, c.spec, v)
	return err
}

// unrecorded reports whether the service may run though its record could not be written.
func (c *command) unrecorded(rec record, err error) bool {
	c.r.log.Warn("record not written", "instance", c.i.Name, "error", err)
	return rec.Group != ""
}

// runnable checks that program is an absolute path of something that may be executed.
func runnable(program string) error {
	if !filepath.IsAbs(program) {
		return errs.Errorf(errs.Invalid, "program %q: not an absolute path", program)
	}
	info, err := os.Stat(program)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.Errorf(errs.NotFound, "program %s: not there", program)
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return errs.Errorf(errs.Invalid, "program %s: not an executable file", program)
	}
	return nil
}

// explain gives a failed start its kind and a hint.
func explain(i runtime.Instance, err error) error {
	var unable *confine.UnableError
	if errors.As(err, &unable) {
		return errs.Hint(errs.E(errs.Unavailable, err), "%s; or let it be: isolation: none", unable.Remedy)
	}
	if failed := (*confine.ExecError)(nil); !errors.As(err, &failed) {
		return err
	}
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return errs.Errorf(errs.Invalid, "program %s: not a program for this machine's CPU", i.Program)
	case errors.Is(err, fs.ErrNotExist):
		return errs.Errorf(errs.Invalid, "program %s: the interpreter or C library that it wants is not on this machine", i.Program)
	case errors.Is(err, fs.ErrPermission): // EACCES, EPERM
		return errs.Hint(errs.Errorf(errs.Denied, "program %s: user %q may not run it", i.Program, i.User),
			"look at the modes on the way to it, and whether its file system is mounted noexec")
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM):
		return errs.E(errs.Unavailable, fmt.Errorf("program %s: %w", i.Program, err))
	}
	return fmt.Errorf("program %s: %w", i.Program, err)
}

// serviceUser returns the user that i runs as.
func serviceUser(i runtime.Instance) (runtime.User, error) {
	u, err := runtime.LookupUser(i.User)
	if err != nil {
		return u, err
	}
	if own := os.Geteuid(); own != 0 && (int(u.UID) != own || int(u.GID) != os.Getegid()) {
		return u, errs.Hint(errs.Errorf(errs.Denied, "user %q: only root may start a service as another user", i.User),
			"run the agent as root, or leave out the service's user")
	}
	return u, nil
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment returns the environment of i: PATH and HOME, then i's own, which win. Nothing comes
// from whoever started the agent.
func environment(i runtime.Instance, u runtime.User) []string {
	return dedup(append([]string{
		"OVERLAND_INSTANCE=" + i.Name, "PATH=" + searchPath, "HOME=" + cmp.Or(u.Home, i.Dir, "/"),
	}, i.Env...))
}

// dedup keeps the last value of each name: with two, programs differ in which one they see.
func dedup(env []string) []string {
	last := make(map[string]int, len(env))
	name := func(s string) string {
		for k := range len(s) {
			if s[k] == '=' {
				return s[:k]
			}
		}
		return s
	}
	for k, s := range env {
		last[name(s)] = k
	}
	out := env[:0]
	for k, s := range env {
		if last[name(s)] == k {
			out = append(out, s)
		}
	}
	return out
}
