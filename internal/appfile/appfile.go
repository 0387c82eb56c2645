package appfile

import (
	"cmp"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/progress"
)

// Version is the only value of the key "overland" so far.
const Version = 1

// FileName is where an application's repository keeps its App.
const FileName = "overland.yaml"

// App is one overland.yaml.
type App struct {
	Overland  int    // Version
	Name      string // [a-z][a-z0-9-]{0,62}
	Version   Naming // how its releases are called
	Artifacts map[string]Artifact
	Services  map[string]Service
	Commands  map[string]string // what people call on a node → the artifact that it is
	Pipelines map[string]Pipeline
}

// Naming is where the versions of an application's releases come from.
type Naming string

// The ways to call a release. The zero value counts commits: r412.abcdef012345.
const (
	ByCommit Naming = "commit" // what the zero value says
	ByTag    Naming = "tag"    // the newest annotated tag, as git describe prints it
)

// Tagged reports whether building a needs the newest annotated tag of the commit.
func (a *App) Tagged() bool {
	for _, one := range a.Artifacts {
		if s, ok := one.Settings.(interface{ NamesTag() bool }); ok && s.NamesTag() {
			return true
		}
	}
	return a.Version == ByTag
}

// Artifact is how one artifact is made.
type Artifact struct {
	Builder   string              // the builder key that is set: "go"
	Settings  any                 // what stands under it, as the builder's package has it: a *golang.Program; see App.Tagged
	Platforms []platform.Platform // empty = platform.All
}

// For reports whether a is made for p: Platforms has it, or is empty and the Settings do not say that they lack p.
func (a Artifact) For(p platform.Platform) bool {
	if len(a.Platforms) > 0 {
		return slices.Contains(a.Platforms, p)
	}
	s, ok := a.Settings.(interface{ Lacks(platform.Platform) bool })
	return !ok || !s.Lacks(p)
}

// Service is how an artifact runs on a node.
type Service struct {
	Artifact    string            `json:"artifact"`
	Runtime     string            `json:"runtime"`             // "process"
	Kind        Kind              `json:"kind,omitempty"`      // "" = it stays up; Task
	Within      Duration          `json:"within,omitempty"`    // of a task: how long it may take; 0 = 10 min
	While       While             `json:"while,omitempty"`     // of a task: "" = Stopped
	Args        []string          `json:"args,omitempty"`      // may hold {{.Volumes.NAME}}, {{.Files.NAME}}, {{.Release.Version}}, {{.Release.App}}
	Env         map[string]string `json:"env,omitempty"`       // values expand like Args; nothing is inherited; PATH and HOME are set
	Data        map[string]string `json:"volumes,omitempty"`   // folders: name → path in a container; a process gets {{.Volumes.name}}
	Files       map[string]string `json:"files,omitempty"`     // artifacts of its release that are files: name → path in the commit; see {{.Files.NAME}}
	Ports       []Port            `json:"ports,omitempty"`     // that it listens on; proved after a start
	User        string            `json:"user,omitempty"`      // name or uid[:gid]; "" = one of its application's own
	Restart     Restart           `json:"restart,omitzero"`    //
	StopTimeout Duration          `json:"stop,omitempty"`      // SIGTERM to SIGKILL; 0 = 10 s
	SelfTest    []Check           `json:"selftest,omitempty"`  //
	Stable      Duration          `json:"stable,omitempty"`    // how long it must stay up before it is good; 0 = 5 s
	Readiness   Duration          `json:"readiness,omitempty"` // default Within of its checks; 0 = 60 s
	Rights                        // what it asks for beyond the least
}

// Kind is what is expected of a service.
type Kind string

// Task is a service that is run once for each release, before the others of its application switch.
const Task Kind = "task"

// While says what the services of the version before do while a task runs.
type While string

// What services do while a task of their application runs.
const (
	Stopped While = "stopped"
	Running While = "running"
)

// Rights are what a service asks for beyond the least that every service has.
type Rights struct {
	Capabilities []string  `json:"capabilities,omitempty"` // as in capabilities(7), in small letters without "cap_"
	Limits       Limits    `json:"limits,omitzero"`
	Writable     []string  `json:"writable,omitempty"`  // paths of the machine that it may write to, beside its data
	Devices      []string  `json:"devices,omitempty"`   // device files of the machine that it may use
	Isolation    Isolation `json:"isolation,omitempty"` // "" = what the machine can give
	Seccomp      string    `json:"seccomp,omitempty"`   // "" = the default filter; Unconfined
}

// Isolation says how far a service is kept apart from the machine.
type Isolation string

// The kinds of isolation. The zero value gives what the machine can give, and its status says what is missing.
const (
	Required    Isolation = "required" // a service that cannot have all of it does not start
	NoIsolation Isolation = "none"     // the machine's files, processes and system calls, with all rights of its user
)

// Unconfined is a service's Seccomp that lets it use every system call.
const Unconfined = "unconfined"

// Limits are what a service may use at most, with all that it starts. 0 = no limit.
type Limits struct {
	Memory    int64   `json:"memory,omitempty"`    // bytes
	Processes int     `json:"processes,omitempty"` // processes and threads at once
	Files     int     `json:"files,omitempty"`     // open files of one process; 0 = 1024, which it may raise to 524288
	CPU       float64 `json:"cpu,omitempty"`       // processors
}

// Restart is when and how fast a service that ended starts again.
type Restart struct {
	Policy  string  `json:"policy,omitempty"` // always (the zero value), on-failure, never
	Backoff Backoff `json:"backoff,omitzero"` // zero = 1s..5m
}

// Backoff is the span of waits between restarts, doubling from Min to Max; written "1s..5m".
type Backoff struct {
	Min Duration `json:"min,omitempty"`
	Max Duration `json:"max,omitempty"`
}

// Check is one self-test. Exactly one of HTTP, TCP, Exec and Log is set.
type Check struct {
	HTTP     string   `json:"http,omitempty"`     // URL; literal address, loopback as a rule
	Status   int      `json:"status,omitempty"`   // wanted status; 0 = any 2xx
	TCP      string   `json:"tcp,omitempty"`      // host:port that must accept
	Exec     []string `json:"exec,omitempty"`     // [0] may name an artifact; must exit 0
	Log      string   `json:"log,omitempty"`      // regular expression that a line logged since the start must match
	Contains string   `json:"contains,omitempty"` // text that the body or output must hold; expands like Args
	Within   Duration `json:"within,omitempty"`   // deadline counted from the service's start; 0 = Readiness
	Every    Duration `json:"every,omitempty"`    // it goes on, so often; 0 = it proves a release, and is over
	Failures int      `json:"failures,omitempty"` // in a row, that restart the service; 0 = 3
}

// OwnUsers returns the uids, and gids of the same numbers, that a node gives to applications: ranges
// that systemd's list of uids and gids has no use for. The second is for machines that have 65,536
// ids, as containers do.
func OwnUsers() [][2]int { return [][2]int{{1_880_000_000, 1_880_065_535}, {60_706, 61_183}} }

// CheckUser refuses a user that nobody may name: one that is some application's own, and the number
// by which the kernel understands "no change".
func (s *Service) CheckUser() error {
	for id := range strings.SplitSeq(s.User, ":") {
		n, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			continue // a name: the machine's
		}
		if n >= math.MaxUint32 {
			return fmt.Errorf("user %.100q: no user has that number", s.User)
		}
		for _, r := range OwnUsers() {
			if n >= uint64(r[0]) && n <= uint64(r[1]) {
				return fmt.Errorf("user %.100q: from %d to %d each is one application's own; leave user out to have one", s.User, r[0], r[1])
			}
		}
	}
	return nil
}

// CheckKind refuses what this program does not know: a task that is taken for a service would be run
// again and again.
func (s *Service) CheckKind() error {
	switch {
	case s.Kind != "" && s.Kind != Task:
		return fmt.Errorf("kind %.100q: this program knows %q", s.Kind, Task)
	case s.While != "" && s.While != Stopped && s.While != Running:
		return fmt.Errorf("while %.100q: this program knows %q and %q", s.While, Stopped, Running)
	}
	return nil
}

// CheckLimits returns an error that names the first setting of s that is over its limit.
func (s *Service) CheckLimits() error {
	over := func(name string, d Duration, limit time.Duration) error {
		if d < 0 || time.Duration(d) > limit {
			return fmt.Errorf("%s %s: at most %s", name, time.Duration(d), limit)
		}
		return nil
	}
	err := cmp.Or(over("within", s.Within, MaxWithin), over("readiness", s.Readiness, MaxWithin), over("stable", s.Stable, MaxStable), over("stop", s.StopTimeout, MaxStop),
		over("restart.backoff", s.Restart.Backoff.Min, MaxBackoff), over("restart.backoff", s.Restart.Backoff.Max, MaxBackoff))
	if err == nil && len(s.SelfTest) > MaxChecks {
		err = fmt.Errorf("%d self-tests: at most %d", len(s.SelfTest), MaxChecks)
	}
	for _, c := range s.SelfTest {
		err = cmp.Or(err, over("selftest: within", c.Within, MaxWithin), over("selftest: every", c.Every, MaxEvery))
		if err == nil && (c.Failures < 0 || c.Failures > MaxFailures || c.Every != 0 && time.Duration(c.Every) < MinEvery) {
			err = fmt.Errorf("selftest: every %s, failures %d: at least %s, and at most %d", time.Duration(c.Every), c.Failures, MinEvery, MaxFailures)
		}
	}
	return err
}

// Runs says for people what s does beyond staying up, in the words of overland.yaml: "port 8080".
func (s *Service) Runs() []string {
	var list []string
	if s.Kind == Task {
		list = append(list, fmt.Sprintf("once for each release, within %s, the application's services %s meanwhile",
			Short(s.Within.Or(DefaultTask)), cmp.Or(s.While, Stopped)))
	}
	for name, from := range s.Files {
		list = append(list, "file "+name+" is "+from)
	}
	slices.Sort(list)
	if ports := s.PortWords(); len(ports) > 0 {
		list = append(list, "port "+strings.Join(ports, ", "))
	}
	for _, c := range s.SelfTest {
		if c.Every > 0 {
			list = append(list, fmt.Sprintf("%s every %s, %d failures restart it", c.Title(), Short(time.Duration(c.Every)), c.Most()))
		}
	}
	return list
}

// Title is c in a few words.
func (c Check) Title() string {
	switch {
	case c.HTTP != "":
		return "http " + c.HTTP
	case c.TCP != "":
		return "tcp " + c.TCP
	case len(c.Exec) > 0:
		return "exec " + strings.Join(c.Exec, " ")
	case c.Log != "":
		return "log " + c.Log
	}
	return "empty check"
}

// Most returns how often in a row c may fail while it goes on.
func (c Check) Most() int {
	const most = 3
	return cmp.Or(c.Failures, most)
}

// PortWords returns the ports of s, each as ParsePort reads it.
func (s *Service) PortWords() (list []string) {
	for _, p := range s.Ports {
		list = append(list, p.String())
	}
	return list
}

// Check refuses what this program does not know: a right that is misread could be too much.
func (r Rights) Check() error {
	switch {
	case r.Isolation != "" && r.Isolation != Required && r.Isolation != NoIsolation:
		return fmt.Errorf("isolation %.100q: this program knows %q and %q", r.Isolation, Required, NoIsolation)
	case r.Seccomp != "" && r.Seccomp != Unconfined:
		return fmt.Errorf("seccomp %.100q: this program knows %q", r.Seccomp, Unconfined)
	case r.Limits.Memory < 0 || r.Limits.Processes < 0 || r.Limits.Files < 0 || r.Limits.CPU < 0:
		return fmt.Errorf("limits %+v: below zero", r.Limits)
	}
	for _, c := range r.Capabilities {
		if !slices.Contains(confine.Capabilities(), c) {
			return fmt.Errorf("capability %.100q: this program does not know it", c)
		}
	}
	if c := r.Escape(); c != "" {
		return errs.Hint(fmt.Errorf("capability %s: nothing keeps a service with it apart", c), EscapeHint)
	}
	for _, p := range slices.Concat(r.Writable, r.Devices) {
		if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsRune(p, 0) {
			return fmt.Errorf("path %.100q: not a clean absolute path", p)
		}
	}
	return nil
}

// EscapeHint is the way out of an Escape.
const EscapeHint = "leave it out, or say that the service is not kept apart: isolation: none"

// Escape returns a capability of r with which the service would not be kept apart, though r does not
// say so; "" when there is none.
func (r Rights) Escape() string {
	for _, c := range r.Capabilities {
		if r.Isolation != NoIsolation && slices.Contains(confine.Escapes(), c) {
			return c
		}
	}
	return ""
}

// Words says r for people, each in the words of overland.yaml: "capabilities net_bind_service". Nothing
// when r asks for nothing.
func (r Rights) Words() []string {
	var list []string
	add := func(name string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			list = append(list, name+" "+strings.Join(values, ", "))
		}
	}
	add("isolation", string(r.Isolation))
	add("seccomp", r.Seccomp)
	add("capabilities", r.Capabilities...)
	add("writable", r.Writable...)
	add("devices", r.Devices...)
	if r.Limits.Memory > 0 {
		add("memory", progress.Bytes(r.Limits.Memory))
	}
	for _, l := range []struct {
		name string
		n    int
	}{{"processes", r.Limits.Processes}, {"files", r.Limits.Files}} {
		if l.n > 0 {
			add(l.name, strconv.Itoa(l.n))
		}
	}
	if r.Limits.CPU > 0 {
		add("cpu", strconv.FormatFloat(r.Limits.CPU, 'g', -1, 64))
	}
	return list
}
