package runtime

import "time"

// State is what a supervised instance is doing.
type State string

// The states. From Ended, Stopped and Detached there is no way on.
const (
	Starting State = "starting"
	Running  State = "running"
	Waiting  State = "waiting"  // for NextStart
	Stopping State = "stopping" //
	Ended    State = "ended"    // by itself, and its policy wants no restart
	Stopped  State = "stopped"  // by Stop
	Detached State = "detached" // left running, not watched any more
)

// Status is a supervised instance at one moment.
type Status struct {
	State     State     `json:"state"`
	PID       int       `json:"pid,omitempty"`      // while Running or Stopping
	Since     time.Time `json:"since"`              // start of the process, or of the state when there is none
	Adopted   bool      `json:"adopted,omitempty"`  // started by an earlier agent
	Restarts  int       `json:"restarts"`           // starts after the first, since this agent supervises it
	LastExit  *Exit     `json:"lastExit,omitempty"` // how the process before ended
	NextStart time.Time `json:"nextStart,omitzero"` // while Waiting
	Err       string    `json:"error,omitempty"`    // why the last start failed
	Confined  Confined  `json:"confined"`           // while Running or Stopping
	LogStart  int64     `json:"-"`                  // length of the log in bytes when the process started
	Final     bool      `json:"-"`                  // it will not run again as it is: Ended, or a program that cannot run
}

// Done reports whether the instance has done its work: it ended without an error, and is not to run
// again.
func (s Status) Done() bool { return s.State == Ended && s.LastExit != nil && s.LastExit.OK() }
