package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"overland/internal/errs"
	"overland/internal/runtime"
)

// command is an instance ready to be forked: everything that can be refused has been.
type command struct {
	i        runtime.Instance
	cred     *syscall.Credential
	env      []string
	null     *os.File
	log      *os.File
	logStart int64
}

// prepare checks i and opens what its process gets. The caller closes it.
func prepare(i runtime.Instance) (*command, error) {
	if err := runnable(i.Program); err != nil {
		return nil, err
	}
	i.Dir = cmp.Or(i.Dir, "/")
	if info, err := os.Stat(i.Dir); err != nil || !info.IsDir() {
		return nil, errs.Errorf(errs.NotFound, "working directory %s: not a directory", i.Dir)
	}
	u, err := runtime.LookupUser(i.User)
	if err != nil {
		return nil, err
	}
	cred, err := credential(i.User, u)
	if err != nil {
		return nil, err
	}
	c := &command{i: i, cred: cred, env: environment(i, u)}
	if c.null, err = os.OpenFile(os.DevNull, os.O_RDONLY, 0); err != nil {
		return nil, err
	}
	// O_APPEND: after a rotation emptied the file, the service goes on at its new end.
	if c.log, err = os.OpenFile(i.Log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640); err != nil {
		c.close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	info, err := c.log.Stat()
	if err != nil {
		c.close()
		return nil, err
	}
	c.logStart = info.Size()
	return c, nil
}

func (c *command) close() {
	for _, f := range []*os.File{c.null, c.log} {
		if f != nil {
			f.Close()
		}
	}
}

// fork starts the process in a session of its own. It retries while the program is open for
// writing: a child that another goroutine forked may hold a descriptor for a moment.
func (c *command) fork(ctx context.Context, mark string) (int, error) {
	argv := append([]string{c.i.Program}, c.i.Args...)
	attr := &syscall.ProcAttr{
		Dir: c.i.Dir,
		// The marks come first: readers of /proc/PID/environ stop after 1 MiB.
		Env:   append([]string{runVar + "=" + mark}, c.env...),
		Files: []uintptr{c.null.Fd(), c.log.Fd(), c.log.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true, Credential: c.cred},
	}
	for try := 0; ; try++ {
		pid, err := syscall.ForkExec(c.i.Program, argv, attr)
		if err == nil {
			return pid, nil
		}
		if !errors.Is(err, syscall.ETXTBSY) || try == 50 {
			return 0, explain(c.i, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
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

// credential returns the credential of u; nil when this process already is u.
func credential(text string, u runtime.User) (*syscall.Credential, error) {
	if text == "" || (os.Geteuid() != 0 && int(u.UID) == os.Geteuid() && int(u.GID) == os.Getegid()) {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, errs.Hint(errs.Errorf(errs.Denied, "user %q: only root may start a service as another user", text),
			"run the agent as root, or leave out the service's user")
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}, nil
}

// environment returns the clean environment of i: PATH, HOME and TZ, then i's own, which win.
func environment(i runtime.Instance, u runtime.User) []string {
	path, home := os.Getenv("PATH"), u.Home
	path = cmp.Or(path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if own := os.Getenv("HOME"); own != "" && i.User == "" {
		home = own
	}
	home = cmp.Or(home, "/")
	env := []string{"OVERLAND_INSTANCE=" + i.Name, "PATH=" + path, "HOME=" + home}
	if tz, ok := os.LookupEnv("TZ"); ok {
		env = append(env, "TZ="+tz)
	}
	return dedup(append(env, i.Env...))
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

// kill ends a child that cannot be watched.
func kill(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGKILL)
	_, wait := syscall.Wait4(pid, nil, 0, nil)
	return errors.Join(err, wait)
}
