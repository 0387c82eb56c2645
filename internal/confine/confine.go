package confine

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"
)

// Verb is the first argument of a program that was started as a keeper.
const Verb = "confine"

// Spec says what a process is and what it may see and use. The zero value of each field gives the
// least.
type Spec struct {
	Path string // the program, as the command sees it; without a slash it is looked up in Env's PATH
	Args Texts  // all arguments; Args[0] is the program's name
	Env  Texts  // NAME=value; nothing is inherited
	Dir  string // working folder, as the command sees it; "" = "/"

	Stdin          io.Reader `json:"-"` // nil = empty
	Stdout, Stderr io.Writer `json:"-"` // nil = thrown away; an *os.File is handed over, others are copied to

	Mounts  []Mount  // the private root, made in this order; empty = the machine's own root
	User    User     // who the command is
	Network Network  // what it reaches
	Listen  string   // with NetworkNone: where on its loopback interface the parent listens, "127.0.0.1:0"; "" = nowhere
	Caps    []string // capabilities that stay, such as "CAP_NET_BIND_SERVICE"
	Filter  Filter   // which system calls it may use
	// Privileged leaves the user's rights alone: programs may give more of them, and root is root.
	Privileged bool
	// NoSetID refuses programs that run as their owner, whoever starts them: set-user-ID and
	// set-group-ID bits. It counts when Filter is not off.
	NoSetID bool
	Limits  Limits
	Group   *Group `json:"-"` // the control group that holds it and its limits; nil = one is made when Limits need it

	// Bare does without namespaces and Mounts: the keeper becomes the command.
	Bare bool

	// Grace is how long all of it may take to end (SIGTERM) when the context ends, before it is killed.
	Grace time.Duration

	// Prepare is called in the parent with the listener of Listen, before the command runs, and
	// returns what Env is extended with. nil = nothing.
	Prepare func(l net.Listener) ([]string, error) `json:"-"`
}

// Texts are strings of any bytes: JSON alone would change those that are not UTF-8.
type Texts []string

// MarshalJSON implements json.Marshaler.
func (t Texts) MarshalJSON() ([]byte, error) {
	list := make([][]byte, len(t))
	for i, s := range t {
		list[i] = []byte(s)
	}
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Texts) UnmarshalJSON(b []byte) error {
	var list [][]byte
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*t = nil
	for _, s := range list {
		*t = append(*t, string(s))
	}
	return nil
}

// Network says what a process reaches.
type Network int

// The networks.
const (
	NetworkNone Network = iota // a loopback interface of its own
	NetworkHost                // the machine's
)

// Filter names a system-call filter.
type Filter int

// The filters.
const (
	FilterDefault Filter = iota // the field's default for containers, see docs/decisions
	FilterOff
)

// User is who a command is. Inside of a user namespace ID and Group are mapped to what the
// machine gives: HostID and HostGroup where root starts it, else the caller.
type User struct {
	ID, Group         int   // as the command sees them
	HostID, HostGroup int   // as the machine sees them, when root starts it; 0 = the caller's own
	Groups            []int // further groups, only without a user namespace
	Share             bool  // no user namespace: ID and Group are the machine's own
}

// Kind is the kind of a mount.
type Kind string

// The kinds of mounts. A Target that is missing is made where the root is ours.
const (
	Bind     Kind = "bind"     // Source of the machine, with what is mounted below it, read-only unless Writable
	Optional Kind = "optional" // Bind, left out when Source is missing or out of reach
	Temp     Kind = "temp"     // an empty folder in memory; Size bytes at most, 0 = half of the machine's memory
	Proc     Kind = "proc"     // the processes of this namespace
	Device   Kind = "device"   // the device file Source: what Bind shows cannot be used as a device
	Devices  Kind = "devices"  // null, zero, full, random, urandom, tty, ptmx, shm: nothing of the machine's hardware
	File     Kind = "file"     // a file with Content, read-only
	Symlink  Kind = "symlink"  // a link to Source
)

// Mount is one thing in a private root.
type Mount struct {
	Kind     Kind
	Source   string // a path of the machine (Bind), or what the link holds (Symlink)
	Target   string // absolute, as the command sees it
	Writable bool
	Exec     bool   // Temp: programs in it may be started
	Size     int64  // bytes
	Mode     uint32 // of a Temp or File; 0 = 0755 and 0444
	Content  []byte
}

// Limits are what a command may use at most, with all that it starts. 0 = no limit.
type Limits struct {
	Memory    int64         // bytes
	Processes int           // processes and threads at once
	CPU       float64       // processors
	Files     int           // open files of one process
	FileSize  int64         // bytes of one file
	Disk      int64         // bytes by which its writable folders (Bind) may grow; checked every 0.2 s or less often
	Time      time.Duration // from start to end
	Core      bool          // may leave core dumps
}

// Applied says what was done, for people and for records.
type Applied struct {
	Namespaces []string `json:"namespaces"`       // "mount", "pid", …
	User       string   `json:"user"`             // "namespace", "switched" or "same"
	Filter     bool     `json:"filter"`           // system calls are filtered
	Limits     string   `json:"limits,omitempty"` // "cgroup v2", "cgroup v1" or "process": what holds memory and processes
	Missing    []string `json:"missing,omitempty"`
}

// Exit is how a command ended.
type Exit struct {
	Code   int // 0 to 255; of a signal 128 + its number, as shells say it
	Signal int // 0 = it ended by itself
	// Left says that it left processes behind, as a program does that goes to the background. They
	// were ended.
	Left bool `json:",omitempty"`
}

// SystemCallFilters is What of an UnableError about the filter.
const SystemCallFilters = "system-call filters"

// UnableError is what this machine cannot do.
type UnableError struct {
	What   string // "a user namespace"
	Remedy string
	Err    error
}

func (e *UnableError) Error() string {
	return fmt.Sprintf("this machine does not give %s: %v", e.What, e.Err)
}
func (e *UnableError) Unwrap() error { return e.Err }

// LimitError is a command that was ended because it used more than a limit allows.
type LimitError struct {
	What  string // "memory", "processes", "disk", "time"
	Limit string // as a person reads it
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the limit of %s for %s was reached", e.Limit, e.What)
}
