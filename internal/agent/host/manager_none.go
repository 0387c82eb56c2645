package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"overland/internal/environ"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// none is a machine without a service manager: install starts the supervisor
// itself, in a session of its own.
type none struct {
	slots Slots
}

func (none) file(string) file { return file{} }

// running asks the kernel: the supervisor holds its lock for as long as it lives.
func (m none) running(context.Context) bool {
	lock, err := fsx.TryLock(m.slots.path("lock"))
	if err == nil {
		lock.Unlock()
	}
	return errors.Is(err, fsx.ErrLocked)
}

func (none) boot() (link, to string)         { return "", "" }
func (none) enabled(context.Context) bool    { return true }
func (none) reload(context.Context) error    { return nil }
func (none) enable(context.Context) error    { return nil }
func (none) disable(context.Context) error   { return nil }
func (m none) restart(context.Context) error { return nil } // there is no file that could have changed

// start starts the supervisor detached from this process, its terminal and its outputs; one that has
// waited for a program takes over instead.
func (m none) start(ctx context.Context) error {
	if m.slots.awaited() {
		return m.takenOver(ctx)
	}
	path := agentLog(m.slots.Dir)
	if err := m.slots.FS.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	defer out.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	program := m.slots.path("good", Program)
	p, err := os.StartProcess(program, []string{Program, "supervise", "--stop-services", "--state", m.slots.Dir},
		&os.ProcAttr{
			Dir: m.slots.Dir, Env: environ.Child(), Files: []*os.File{null, out, out},
			Sys: &syscall.SysProcAttr{Setsid: true},
		})
	if err != nil {
		return fmt.Errorf("start the supervisor: %w", err)
	}
	ended := make(chan string, 1)
	go func() { // ends with the supervisor, or with this process
		state, err := p.Wait()
		ended <- fmt.Sprint(state, err)
	}()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case how := <-ended:
			return errs.Hint(fmt.Errorf("the supervisor ended at once: %s", how), "read %s", path)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if m.running(ctx) {
				tick.Stop()
				return nil
			}
		}
	}
}

// takenOver returns when the supervisor that waited has the node in hand.
func (m none) takenOver(ctx context.Context) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for tick := time.NewTicker(10 * time.Millisecond); !m.running(ctx); {
		select {
		case <-ctx.Done():
			tick.Stop()
			return fmt.Errorf("wait for the supervisor that waits in %s: %w", m.slots.Dir, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// stop ends the supervisor with SIGTERM and waits until its lock is free.
func (m none) stop(ctx context.Context) error {
	path := m.slots.path("lock")
	lock, err := fsx.TryLock(path)
	if err == nil {
		return lock.Unlock()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // uninstalled before: only data is left
	}
	if !errors.Is(err, fsx.ErrLocked) {
		return err
	}
	b, err := readSmall(path)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	// On a disk that is read-only the file names a holder from before, whose number may be another's now.
	line, lineErr := readSmall(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || pid <= 1 || lineErr == nil && !strings.Contains(string(line), "supervise") {
		return errs.Hint(errs.Errorf(errs.Internal, "the supervisor's process id in %s is not readable", path),
			"stop the process \"overland-agent supervise\" by hand")
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop the supervisor (process %d): %w", pid, err)
	}
	got := make(chan error, 1)
	go func() {
		lock, err := fsx.WaitLock(path)
		if err == nil {
			err = lock.Unlock()
		}
		got <- err
	}()
	select {
	case err := <-got:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the supervisor (process %d) to end: %w", pid, ctx.Err())
	}
}
