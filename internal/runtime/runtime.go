package runtime

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"syscall"
	"time"

	"overland/internal/appfile"
	"overland/internal/digest"
)

// Instance is one service of a node, ready to be started. Args and Env are final: already expanded.
type Instance struct {
	Name    string        // app.service; unique on the node
	Program string        // absolute path of the program
	Blob    digest.Digest // names Program's content, so that moving to another generation changes nothing; "" = Program does
	Args    []string      // without the program's own name
	Same    []any         // what of Args and Env Digest names, where they name files of a generation; nil = Args and Env
	Env     []string      // NAME=value; PATH and HOME are set, nothing is inherited
	Dir     string        // working directory, absolute; must exist
	User    string        // name or uid[:gid]; "" = the agent's own: what a Service names none for has one of its application's
	Log     string        // file that stdout and stderr are appended to; its directory must exist
	Record  string        // file that says which process runs this; its directory must exist

	Data   map[string]string // name → folder on this machine: what the service keeps
	Hidden []string          // folders of this machine of which it sees only its own

	Fellows []string // records of the other services of its application

	Spec     appfile.Service              // restart policy, stop timeout, self-tests
	Programs map[string]string            // artifact name → path: what [0] of an exec check may name
	Expand   func(string) (string, error) // expands what checks hold; nil = as it is written
}

// Digest names everything that a running copy of i cannot change without a restart. Two instances
// with one Digest are served by one process. That of a process must stay as it is: nodes compare it
// with what an earlier agent wrote.
func (i Instance) Digest() digest.Digest {
	what := string(i.Blob)
	what = cmp.Or(what, i.Program)
	all := []any{what, i.Args, i.Env, i.Dir, i.User}
	if i.Same != nil {
		all = []any{what, i.Same, i.Dir, i.User}
	}
	if word := Word(i.Spec); word != ProcessWord {
		all = append(all, word, i.Data, i.Spec.Data)
	}
	if !reflect.ValueOf(i.Spec.Rights).IsZero() {
		all = append(all, i.Spec.Rights)
	}
	b, err := json.Marshal(all)
	if err != nil {
		panic(err) // strings always marshal
	}
	return digest.Of(b)
}

// StopTimeout returns how long i may take from SIGTERM to SIGKILL.
func (i Instance) StopTimeout() time.Duration { return i.Spec.StopTimeout.Or(10 * time.Second) }

func (i Instance) expand(s string) (string, error) {
	if i.Expand == nil {
		return s, nil
	}
	return i.Expand(s)
}

// Runtime starts instances of one kind of service. Each implementation
// passes the suite in runtimetest.
type Runtime interface {
	// DataPath returns where i sees its data folder name: i.Data[name] for a process,
	// the mount point in a container.
	DataPath(i Instance, name string) string
	// Start starts i and returns once it runs and its record is durable. What still runs of another
	// version of i is ended first; a running copy with the same Digest is errs.Conflict (Adopt it).
	// A program that cannot run at all is errs.Invalid or errs.NotFound.
	Start(ctx context.Context, i Instance) (Process, error)
	// Adopt returns the running copy of i that an earlier agent started,
	// if there is one with i's Digest.
	Adopt(ctx context.Context, i Instance) (Process, bool)
}

// Execer is a Runtime that can run one more program where an instance
// runs, as its user, for a self-test.
type Execer interface {
	// Exec runs argv to its end with stdout and stderr going to out, and kills it with everything
	// it started when ctx ends. It returns an error when it could not run or ctx ended.
	Exec(ctx context.Context, i Instance, argv []string, out io.Writer) (Exit, error)
}

// Rememberer is a Runtime that knows what became of runs that no agent watched, or that an earlier one
// did.
type Rememberer interface {
	// Ended returns how the last run of i ended, when it ended by itself and without an error, and what
	// was known of it; false while i runs, and when another version of it ran since.
	Ended(i Instance) (Exit, Info, bool)
	// Forget makes Ended false for i.
	Forget(i Instance) error
}

// Process is a running copy of an instance. It is safe for concurrent use.
type Process interface {
	PID() int
	Info() Info
	// Done is closed when the process and everything that it started is gone.
	Done() <-chan struct{}
	// Exit says how it ended; valid after Done.
	Exit() Exit
	// Stop asks it and everything it started to end (SIGTERM), kills what is left after timeout
	// (SIGKILL), and returns when it is gone. When ctx ends first, it returns ctx's error and
	// leaves the process ending on its own.
	Stop(ctx context.Context, timeout time.Duration) error
	// Release stops watching and leaves the process running. Done is never closed after it.
	Release()
}

// Info is what is known about a process from its start.
type Info struct {
	Since    time.Time // when it started
	LogStart int64     // length of the log file in bytes when it started
	Adopted  bool      // started by an earlier agent
	KeepsLog bool      // its keeper writes the log, within its limits: nobody else need look after it
	Confined Confined  // how far it is kept apart from the machine
}

// Confined is how far a running copy is kept apart from the machine, for people.
type Confined struct {
	User    string   `json:"user,omitempty"` // uid:gid
	Apart   bool     `json:"apart"`          // it has files and processes of its own
	Filter  bool     `json:"filter"`         // its system calls are filtered
	Limits  string   `json:"limits,omitempty"`
	Missing []string `json:"missing,omitempty"` // what this machine cannot do: cause and remedy
}

// Exit says how a process ended.
type Exit struct {
	Known  bool           `json:"known"`            // false for an adopted process: only its parent learns the status
	Code   int            `json:"code"`             // exit code; 0 when it was ended by a signal
	Signal syscall.Signal `json:"signal,omitempty"` // the signal that ended it
	At     time.Time      `json:"at"`
	Limit  string         `json:"limit,omitempty"`  // the limit that it ran into
	Unwell string         `json:"unwell,omitempty"` // why its supervisor ended it
	Left   bool           `json:"left,omitempty"`   // it left processes behind, which were ended
}

// OK reports whether it is known to have ended without an error.
func (e Exit) OK() bool { return e.Known && e.Code == 0 && e.Signal == 0 }

// String returns "exit code 3", "killed by signal 11 (segmentation fault)" or
// "ended with an unknown status".
func (e Exit) String() string {
	limit := ""
	if e.Unwell != "" {
		return "restarted: " + e.Unwell
	}
	if e.Limit != "" {
		limit = ": " + e.Limit
	}
	switch {
	case !e.Known:
		return "ended with an unknown status" + limit
	case e.Signal != 0:
		return fmt.Sprintf("killed by signal %d (%s)%s", int(e.Signal), e.Signal, limit)
	}
	if e.Left && e.OK() {
		limit = "; it went to the background, and what it left there was ended: give it its option to stay in the foreground"
	}
	return fmt.Sprintf("exit code %d%s", e.Code, limit)
}
