package session

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/procfs"
)

// What a reaper inherits.
const leashFD = 3 // the reading end of a pipe: a byte means that the session is ending, EOF that it is gone

const (
	// settle is how long a signal that was sent to the session, the command and the
	// reaper may take to reach the reaper.
	settle = 200 * time.Millisecond
	// lastTry is how long killed processes may take to vanish: a dead
	// disk may hold them in the kernel.
	lastTry = 3 * time.Second
	often   = 10 * time.Millisecond
)

// reaper returns the command that runs o.Command under a reaper: this program, started
// as Verb. Call release after it.
func (o *Options) reaper(ctx context.Context, kind string) (cmd *exec.Cmd, release func(), _ error) {
	theirs, leash, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd = exec.CommandContext(ctx, "/proc/self/exe", append([]string{Verb, "--", kind}, o.Command...)...)
	cmd.Args[0] = os.Args[0]
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Cancel = func() error {
		_, err := leash.Write([]byte{0})
		return err
	}
	cmd.WaitDelay = shutdown + 2*lastTry // should not be reached: the reaper gives up first
	return cmd, func() {
		theirs.Close()
		leash.Close()
	}, nil
}

// Inside is the reaper of a command: args are the kind of the session and the command. It is the
// parent of all that the command starts, also of what loses its own, and ends as the command does;
// processes that are still running then are left alone. But when the session ends first, they are
// told to end (SIGTERM), killed after a while, and gone before Inside is. It returns only an error.
func Inside(_ context.Context, args []string) error {
	if len(args) < 2 {
		return errs.Errorf(errs.Invalid, "no command to run")
	}
	unix.CloseOnExec(leashFD)
	environ := environ.Child()
	if args[0] == bordered {
		var err error
		if environ, err = behindBorder(); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	r := &reaper{heard: make(chan os.Signal, 1), told: map[procfs.Process]bool{}}
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(sig) { // nohup: the command ignores it too
			signal.Notify(r.heard, sig)
		}
	}
	if err := r.start(args[1:], environ); err != nil {
		return err
	}
	os.Exit(r.watch(os.NewFile(leashFD, "leash")))
	return nil
}

// reaper watches over one command.
type reaper struct {
	pid   int                     // the command
	heard chan os.Signal          // signals to this process, and so to its whole group: a terminal sends them to the group
	told  map[procfs.Process]bool // by PID and Start
}

// start starts the command on this process's streams.
func (r *reaper) start(command, environ []string) error {
	if err := os.Setenv("PATH", value(environ, "PATH")); err != nil {
		return err
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return errs.E(errs.NotFound, err)
	}
	if err := withoutRights(); err != nil {
		return err
	}
	r.pid, err = syscall.ForkExec(path, command, &syscall.ProcAttr{Env: environ, Files: []uintptr{0, 1, 2}})
	if err != nil {
		return fmt.Errorf("run %s: %w", path, err)
	}
	return nil
}

// watch waits for the command to end, or for the session to end and then for every process, and
// returns the exit code.
func (r *reaper) watch(leash *os.File) int {
	deaths, pulls := make(chan procfs.Death), make(chan struct{})
	go procfs.Reap(deaths)
	go follow(leash, pulls)
	code := signalled + int(syscall.SIGKILL) // if it never ends
	var ended, pulled, stopping bool
	var settled, grace, look, last <-chan time.Time
	kill := func() { look, last = time.Tick(often), time.After(lastTry) }
	for {
		select {
		case d, some := <-deaths:
			switch {
			case !some: // the last one: orphans became children of this process
				return code
			case d.PID != r.pid:
				continue
			}
			ended, code = true, exitCode(d.Status)
			switch {
			case stopping:
				r.tell(true)
			case len(procfs.Below(os.Getpid())) == 0:
				return code
			case !pulled:
				settled = time.After(settle)
			}
		case _, held := <-pulls:
			switch {
			case pulled: // a second signal: do not wait
				kill()
			case !stopping:
				settled = time.After(settle)
			}
			pulled = true
			if !held {
				pulls = nil
			}
		case <-settled:
			if !pulled && len(r.heard) == 0 {
				return code
			}
			stopping, grace = true, time.After(shutdown)
			r.tell(ended)
		case <-grace:
			kill()
		case <-look: // repeatedly: they may have started others
			for _, p := range procfs.Below(os.Getpid()) {
				p.Signal(syscall.SIGKILL)
			}
		case <-last:
			return code
		}
	}
}

// tell sends SIGTERM to every process below this one, once. Unless all is set, it leaves out
// those that got the same signal as this process because they are in its group: many programs
// take a second signal as "at once".
func (r *reaper) tell(all bool) {
	group := syscall.Getpgrp()
	for _, p := range procfs.Below(os.Getpid()) {
		id := procfs.Process{PID: p.PID, Start: p.Start}
		if r.told[id] || !all && p.Group == group && len(r.heard) > 0 {
			continue
		}
		r.told[id] = true
		p.Signal(syscall.SIGTERM)
	}
}

// follow passes on each byte from the leash, and closes pulls at EOF.
func follow(leash *os.File, pulls chan<- struct{}) {
	defer close(pulls)
	for b := make([]byte, 1); ; pulls <- struct{}{} {
		if _, err := leash.Read(b); err != nil {
			return
		}
	}
}
