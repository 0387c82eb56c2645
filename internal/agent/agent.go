package agent

import (
	"context"
	"io"
	"log/slog"
	"time"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/platform"
	"overland/internal/runtime"
	"overland/internal/trust"
)

// Source is where releases come from: an open volume, a directory, a site. It is trusted for nothing.
type Source interface {
	Name() string
	Open(ctx context.Context, d digest.Digest, off int64) (rc io.ReadCloser, size int64, err error)
	trust.MetadataSource
}

// Options are the settings of an Agent. Runtime and Platform are needed; everything else has a default.
type Options struct {
	Runtime  runtime.Runtime   // runs the services
	Platform platform.Platform // of this machine; Platform.Runs is the order in which artifacts are taken

	FS        fsx.FS
	Clock     clock.Clock   // nil = the machine's
	BuildTime time.Time     // the lowest time that trust believes
	Log       *slog.Logger  // nil = nowhere
	Poll      time.Duration // between polls of a site, ± a quarter; 0 = 1 min
	Watch     time.Duration // between looks at watched directories; 0 = 5 s
	Progress  func(Progress)

	Version string        // of this agent, for people
	Self    digest.Digest // of this agent's program; "" = it never upgrades itself
	// Upgrade is called when the channel names another agent program. It lies at path, verified, and stays there. An
	// error is kept as the reason not to try this program again; nil means that it took over or will.
	Upgrade func(ctx context.Context, path, version string, d digest.Digest) error

	// Ready is called once by Run, when the state is open, the services of the current generation are started or adopted
	// and the control socket answers; not after the self-tests of an undecided switch. It proves a new agent program.
	Ready func()

	Boot func() (string, time.Duration) // nil = node.Boot
}

// Progress is a step of an installation, for a person who waits.
type Progress struct {
	Step  string `json:"step"`           // verify, fetch, stage, start, selftest, back
	What  string `json:"what,omitempty"` // fetch: "wallet@r412.5b2c… node"; "" for what describes releases
	Done  int64  `json:"done,omitempty"` // bytes
	Total int64  `json:"total,omitempty"`
	Rate  int64  `json:"rate,omitempty"` // bytes per second, smoothed
}

// InstallOptions are the settings of one installation. The zero value continues what the node already follows.
type InstallOptions struct {
	Channel string `json:"channel,omitempty"` // "" = the node's; on a new node the only one that the source has
	Root    string `json:"root,omitempty"`    // fingerprint; needed until a root is pinned
	Offline bool   `json:"offline,omitempty"` // judge expiry at the time at which the source was sealed
	Retry   bool   `json:"retry,omitempty"`   // also try what failed here before
	Defer   bool   `json:"defer,omitempty"`   // stage and write the intent; the next Run starts it

	Sites []string `json:"sites,omitempty"` // follow these from now on; nil = unchanged
	Watch []string `json:"watch,omitempty"` // watch these directories (patterns) from now on; nil = unchanged
}

// The outcomes of an installation or rollback.
const (
	Unchanged  = "unchanged"   // the node already runs this
	Installed  = "installed"   // it runs, proved itself and is marked good
	Staged     = "staged"      // Defer was asked for: the next Run starts it
	RolledBack = "rolled back" // it did not prove itself; what ran before runs again
)

// Report is what became of an installation or rollback.
type Report struct {
	Outcome    string    `json:"outcome"`
	Generation int       `json:"generation"`     // the current one now
	Tried      int       `json:"tried"`          // the one that was tried; equal to Generation unless rolled back
	From       int       `json:"from,omitempty"` // the one that ran before
	Channel    string    `json:"channel,omitempty"`
	Source     string    `json:"source,omitempty"`
	Apps       []AppInfo `json:"apps,omitempty"`
	Freshness  Freshness `json:"freshness,omitzero"`

	Reason string   `json:"reason,omitempty"` // why it was rolled back
	Check  string   `json:"check,omitempty"`  // the failing self-test, "wallet.node: http http://…"
	Log    []string `json:"log,omitempty"`    // that service's last lines
	Tests  []Test   `json:"tests,omitempty"`
}

// Test is the result of one self-test.
type Test struct {
	Service string        `json:"service"`
	Check   string        `json:"check"`
	OK      bool          `json:"ok"`
	Error   string        `json:"error,omitempty"`
	Took    time.Duration `json:"took"` // ns
}

// AppInfo names one application that runs.
type AppInfo struct {
	App     string        `json:"app"`
	Version string        `json:"version"`
	Release digest.Digest `json:"release"`
}

// Freshness says how new the metadata is on which the node acts.
type Freshness struct {
	Known    bool      `json:"known"` // false: taken offline, there may be newer
	SignedAt time.Time `json:"signed_at,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
}

// Status is what `overland-agent status --json` prints. Fields are only ever added.
type Status struct {
	Schema     int       `json:"schema"` // 1
	Running    bool      `json:"running"`
	PID        int       `json:"pid,omitempty"`
	Agent      string    `json:"agent,omitempty"` // version
	Platform   string    `json:"platform"`
	Dir        string    `json:"dir"`
	Root       string    `json:"root,omitempty"` // fingerprint of the pinned root
	Channel    string    `json:"channel,omitempty"`
	Sites      []string  `json:"sites,omitempty"`
	Watch      []string  `json:"watch,omitempty"`
	Generation int       `json:"generation"` // current; 0 = nothing is installed
	Good       int       `json:"good"`
	Trial      *Trial    `json:"trial,omitempty"` // a switch in progress
	Apps       []AppInfo `json:"apps"`
	Services   []Service `json:"services"`
	Freshness  Freshness `json:"freshness,omitzero"`
	Last       *Look     `json:"last,omitempty"`     // the last look at a source
	Refused    []Refusal `json:"refused,omitempty"`  // not tried again
	Problems   []string  `json:"problems,omitempty"` // what was found damaged or is wrong now
	Report     *Report   `json:"report,omitempty"`   // of the last switch by this process
}

// Trial is a switch in progress.
type Trial struct {
	Generation int       `json:"generation"`
	From       int       `json:"from"`
	TriesLeft  int       `json:"tries_left"`
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
	LastExit string    `json:"last_exit,omitempty"`
	Error    string    `json:"error,omitempty"` // why the last start failed
	Next     time.Time `json:"next,omitzero"`   // when it is started again
	Log      string    `json:"log"`             // its file
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
