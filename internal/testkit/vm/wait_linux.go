package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// limits are what a machine may take until it counts as hanging.
type limits struct {
	bootCPU  time.Duration // processor time until the program starts
	bootIdle time.Duration // time in which it does nothing, until then
	runCPU   time.Duration // processor time of everything
	runIdle  time.Duration // time in which it does nothing and prints nothing
}

var patience = limits{bootCPU: 30 * time.Second, bootIdle: 30 * time.Second, runCPU: 5 * time.Minute, runIdle: 2 * time.Minute}

// wait waits until the machine ends. One that hangs is killed: an error says which limit it reached.
func wait(cmd *exec.Cmd, console *console, l limits) error {
	const look = 200 * time.Millisecond
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		close(done)
	}()
	var idle time.Duration
	before, printed := use{}, 0
	for last := time.Now(); ; {
		select {
		case <-done:
			return nil
		case <-time.After(look):
		}
		now, passed, length := used(cmd.Process.Pid), time.Since(last), console.len()
		last = last.Add(passed)
		// A machine that waits for one of this machine's processors is not idle.
		if length != printed || now.ran+now.waited-before.ran-before.waited > passed/5 {
			idle = 0
		} else {
			idle += passed
		}
		before, printed = now, length
		cpuLimit, idleLimit := l.bootCPU, l.bootIdle
		if console.started() {
			cpuLimit, idleLimit = l.runCPU, l.runIdle
		}
		if now.ran > cpuLimit || idle > idleLimit {
			_ = cmd.Process.Kill()
			<-done
			return fmt.Errorf("the machine hangs: %.1f s of processor time, the last %.1f s idle", now.ran.Seconds(), idle.Seconds())
		}
	}
}

// use is what a process had of the processors.
type use struct{ ran, waited time.Duration }

// used returns what pid and its threads have had until now.
func used(pid int) (u use) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, name := range tasks {
		b, err := os.ReadFile(name)
		if f := strings.Fields(string(b)); err == nil && len(f) >= 2 {
			ran, _ := strconv.ParseInt(f[0], 10, 64)
			waited, _ := strconv.ParseInt(f[1], 10, 64)
			u.ran += time.Duration(ran)
			u.waited += time.Duration(waited)
		}
	}
	return u
}
