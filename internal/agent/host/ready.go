package host

import (
	"os"
	"strconv"
	"syscall"
)

// ExitSwitch is the exit code with which an agent asks its supervisor to start what Arm armed, at once.
const ExitSwitch = 75

// readyEnv names the descriptor on which the agent reports ready; it is set only by a supervisor.
const readyEnv = "OVERLAND_READY_FD"

const readyWord = "ready\n"

// Reporter tells the supervisor that this agent works. The zero value has no supervisor and does nothing.
type Reporter struct{ pipe *os.File }

// NewReporter takes the pipe that the supervisor gave this process, closed to the services that it will start. Call it
// first thing in the process, once.
func NewReporter() Reporter {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	os.Unsetenv(readyEnv)
	if err != nil || fd < 3 {
		return Reporter{}
	}
	syscall.CloseOnExec(fd)
	return Reporter{os.NewFile(uintptr(fd), "ready")}
}

// Supervised reports whether a supervisor started this process.
func (r Reporter) Supervised() bool { return r.pipe != nil }

// Ready says that the agent has opened its state and adopted its services. A second call does nothing.
func (r Reporter) Ready() {
	if r.pipe != nil {
		// A supervisor that is gone cannot be told, and the next one will ask again.
		_, _ = r.pipe.WriteString(readyWord)
		_ = r.pipe.Close()
	}
}
