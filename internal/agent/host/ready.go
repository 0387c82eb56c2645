package host

import (
	"context"
	"os"
	"strconv"
	"syscall"
	"time"

	"overland/internal/appfile"
)

// ExitSwitch is the exit code with which an agent asks its supervisor to
// start what Arm armed, at once.
const ExitSwitch = 75

// readyEnv names the descriptor on which the agent reports ready; it is set only by a supervisor.
const readyEnv = "OVERLAND_READY_FD"

const readyWord = "ready\n"

// Reporter tells the supervisor that this agent works. The zero value has
// no supervisor and does nothing.
type Reporter struct{ pipe *os.File }

// NewReporter takes the pipe that the supervisor gave this process, closed to the services that it
// will start. Call it first thing in the process, once.
func NewReporter() Reporter {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	os.Unsetenv(readyEnv)
	if err != nil || fd < 3 {
		return Reporter{}
	}
	syscall.CloseOnExec(fd)
	_ = syscall.SetNonblock(fd, true) // so that a write can have a deadline
	return Reporter{os.NewFile(uintptr(fd), "ready")}
}

// Supervised reports whether a supervisor started this process.
func (r Reporter) Supervised() bool { return r.pipe != nil }

// Ready says that the agent has opened its state and adopted its services.
func (r Reporter) Ready() {
	if r.pipe != nil {
		// A supervisor that is gone cannot be told, and the next one will ask again.
		_, _ = r.pipe.WriteString(readyWord)
	}
}

// Beat gives the supervisor a sign of life again and again until ctx ends. alive returns
// while the agent works; when it hangs, so does Beat, and the supervisor starts the agent
// anew. Call it after Ready, once.
func (r Reporter) Beat(ctx context.Context, alive func()) {
	if r.pipe == nil {
		return
	}
	tick := time.NewTicker(silence() / 10)
	defer tick.Stop()
	for {
		alive()
		// An older supervisor reads none of them: the full pipe must not hold up anything.
		_ = r.pipe.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = r.pipe.WriteString(".")
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// SilenceEnv is the environment variable that changes how long an agent may give no sign
// of life: a duration like "30m".
const SilenceEnv = "OVERLAND_AGENT_SILENCE"

// silence is long: an agent that is merely slow, on a machine that swaps or waits
// for its disk, must not be killed.
func silence() time.Duration {
	const usual, least = 10 * time.Minute, time.Second
	d, err := appfile.ParseDuration(os.Getenv(SilenceEnv))
	if err != nil || d.Or(0) < least {
		return usual
	}
	return d.Or(usual)
}
