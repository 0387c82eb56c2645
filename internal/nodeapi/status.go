package nodeapi

import (
	"time"

	"overland/internal/digest"
)

// Status is what `overland-agent status --json` prints.
type Status struct {
	Schema     int            `json:"schema"` // 1
	Running    bool           `json:"running"`
	PID        int            `json:"pid,omitempty"`
	Agent      string         `json:"agent,omitempty"` // version
	Platform   string         `json:"platform"`
	Dir        string         `json:"dir"`
	Root       string         `json:"root,omitempty"` // fingerprint of the pinned root
	Channel    string         `json:"channel,omitempty"`
	Sites      []string       `json:"sites,omitempty"`
	Watch      []string       `json:"watch,omitempty"`
	Generation int            `json:"generation"` // current; 0 = nothing is installed
	Good       int            `json:"good"`
	Trial      *Trial         `json:"trial,omitempty"` // a switch in progress
	Apps       []App          `json:"apps"`
	Services   []Service      `json:"services"`
	Freshness  Freshness      `json:"freshness,omitzero"`
	Last       *Look          `json:"last,omitempty"`     // the last look at a source
	Refused    []Refusal      `json:"refused,omitempty"`  // not tried again
	Returned   []Return       `json:"returned,omitempty"` // applications that stand on their channel's fallback
	Problems   []string       `json:"problems,omitempty"` // what was found damaged or is wrong now
	Report     *Report        `json:"report,omitempty"`   // of the last switch by this process
	Program    *AgentVersions `json:"program,omitempty"`  // the agent's own; only the command line fills it in
}

// App names one application that runs.
type App struct {
	App     string        `json:"app"`
	Version string        `json:"version"`
	Release digest.Digest `json:"release"`

	Commands []string `json:"commands,omitempty"` // that people call: DIR/bin/NAME
}

// Return is an application that one signer of the channel returned to the fallback of its promotion,
// by the metadata that was verified last.
type Return struct {
	App     string   `json:"app"`
	Version string   `json:"version"` // of the fallback
	Undone  string   `json:"undone"`  // version of the promotion
	By      []string `json:"by"`      // ids of the keys that signed the return
}

// Freshness says how new the metadata is on which the node acts.
type Freshness struct {
	Known    bool      `json:"known"` // false: taken offline, there may be newer
	SignedAt time.Time `json:"signedAt,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
}

// Trial is a switch in progress.
type Trial struct {
	Generation int       `json:"generation"`
	From       int       `json:"from"`
	TriesLeft  int       `json:"triesLeft"`
	Deadline   time.Time `json:"deadline,omitzero"`
	Failed     string    `json:"failed,omitempty"`
}

// Service is one service of the current generation.
type Service struct {
	Name     string    `json:"name"`  // app.service
	State    string    `json:"state"` // running, starting, waiting, stopped, failed; unknown when no agent runs
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	LastExit string    `json:"lastExit,omitempty"`
	Done     bool      `json:"done,omitempty"`  // it has done its work: it ended without an error and is not to run again
	Error    string    `json:"error,omitempty"` // why the last start failed
	Next     time.Time `json:"next,omitzero"`   // when it is started again
	Log      string    `json:"log"`             // its file
	Kind     string    `json:"kind,omitempty"`  // task: it is run once for each release; "" = it stays up
	Ports    []string  `json:"ports,omitempty"` // that it listens on, in the words of overland.yaml: "8080", "127.0.0.1:53/udp"
	User     string    `json:"user,omitempty"`  // uid:gid that it runs as
	Confined Confined  `json:"confined,omitzero"`
}

// Confined says how far a running service is kept apart from the machine.
type Confined struct {
	Apart   bool     `json:"apart"`             // it has files and processes of its own
	Filter  bool     `json:"filter"`            // its system calls are filtered
	Asked   []string `json:"asked,omitempty"`   // what its release asks for, in the words of overland.yaml
	Limits  string   `json:"limits,omitempty"`  // what holds its limits: "cgroup v2", "cgroup v1"
	Missing []string `json:"missing,omitempty"` // what this machine cannot do, with cause and remedy
}

// Look is the last look at a source.
type Look struct {
	Source  string    `json:"source"`
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// Refusal is content that is not tried again until the channel names something new.
type Refusal struct {
	Generation int       `json:"generation"`
	Reason     string    `json:"reason"`
	At         time.Time `json:"at,omitzero"`
}

// Slot names one version of the agent's program: its sha256 in 64 hex digits.
type Slot string

// AgentVersions are the versions of the agent's own program on a node.
type AgentVersions struct {
	Current Slot             `json:"current"`
	Good    Slot             `json:"good"`
	Trying  Slot             `json:"trying,omitempty"`
	Refused []RefusedVersion `json:"refused,omitempty"`
}

// RefusedVersion is a version of the agent that did not work and was taken back.
type RefusedVersion struct {
	Slot   Slot          `json:"slot"`
	Digest digest.Digest `json:"digest,omitempty"` // "" when it is not known any more
	Reason string        `json:"reason"`
}
