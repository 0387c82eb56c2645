package nodeapi

import (
	"time"
)

// The outcomes of an installation or rollback.
const (
	Unchanged  = "unchanged"   // the node already runs this
	Installed  = "installed"   // it runs, proved itself and is marked good
	Staged     = "staged"      // Defer was asked for: the agent that runs next starts it
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
	Apps       []App     `json:"apps,omitempty"`
	Freshness  Freshness `json:"freshness,omitzero"`
	Refused    []string  `json:"refused,omitempty"` // applications that are not as the channel says: which, what is done, why

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

// Event is one line of a node's history. The node's state file holds it in this form.
type Event struct {
	At         time.Time `json:"at,omitzero"`
	What       string    `json:"what"` // switched, good, failed, back, recovered, upgraded
	Generation int       `json:"generation,omitempty"`
	From       int       `json:"from,omitempty"`
	Apps       []string  `json:"apps,omitempty"` // "wallet@r412.abcdef012345"
	Reason     string    `json:"reason,omitempty"`
	Check      string    `json:"check,omitempty"`
	Log        []string  `json:"log,omitempty"`
}
