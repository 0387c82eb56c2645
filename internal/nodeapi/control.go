package nodeapi

import (
	"encoding/json"
	"io"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/printer"
	"overland/internal/progress"
)

// The verbs of a Request.
const (
	OpStatus   = "status"   // → Status
	OpHistory  = "history"  // → Events
	OpLogs     = "logs"     // Service, Lines → Lines
	OpInstall  = "install"  // Source, Install → Report
	OpRollback = "rollback" // Generation → Report
	OpReload   = "reload"   // read config.json again and look at every source now
)

const (
	requestMax = 64 << 10 // bytes
	linesMax   = 10000    // log lines asked for at once
)

// InstallOptions are the settings of one installation. The zero value continues
// what the node already follows.
type InstallOptions struct {
	Channel string `json:"channel,omitempty"` // "" = the node's; on a new node the only one that the source has
	Root    string `json:"root,omitempty"`    // fingerprint; needed until a root is pinned
	Offline bool   `json:"offline,omitempty"` // check expiry against the time at which the source was sealed
	Retry   bool   `json:"retry,omitempty"`   // also try what failed here before
	Defer   bool   `json:"defer,omitempty"`   // stage and write the intent; the agent that runs next starts it

	Sites []string `json:"sites,omitempty"` // follow these from now on; nil = unchanged
	Watch []string `json:"watch,omitempty"` // watch these directories (patterns) from now on; nil = unchanged
}

// Request is one JSON line to the running agent. One connection carries one request and its
// response; with Progress, lines that hold nothing but progress come before the response.
type Request struct {
	Op         string          `json:"op"`
	Source     string          `json:"source,omitempty"` // absolute path of a volume or directory, or a site URL
	Install    *InstallOptions `json:"install,omitempty"`
	Generation int             `json:"generation,omitempty"` // to roll back to; 0 = the good one before
	Service    string          `json:"service,omitempty"`    // app.service; "" = all
	Lines      int             `json:"lines,omitempty"`      // log lines; 0 = 50
	Progress   bool            `json:"progress,omitempty"`   // install, rollback: tell the steps
}

// Response is the one JSON line that answers a Request. A switch that was rolled
// back has both Error and Report.
type Response struct {
	// Progress is a step (verify, fetch, stage, start, selftest, back); this is not the
	// response yet. It names a blob as people do, "wallet@r412.5b2c… node", and not at all
	// when the blob describes releases.
	Progress *progress.Event `json:"progress,omitempty"`

	Error  *Error   `json:"error,omitempty"`
	Status *Status  `json:"status,omitempty"`
	Report *Report  `json:"report,omitempty"`
	Events []Event  `json:"events,omitempty"`
	Lines  []string `json:"lines,omitempty"`
}

// Error is an error as it crosses the socket.
type Error struct {
	Code    string `json:"code"` // errs.Kind
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// NewError returns err as it crosses the socket; nil for nil.
func NewError(err error) *Error {
	if err == nil {
		return nil
	}
	return &Error{Code: errs.KindOf(err).String(), Message: printer.Error(err), Hint: errs.HintOf(err)}
}

// Err returns the error that e carries, with its kind and hint; nil for nil.
func (e *Error) Err() error {
	if e == nil {
		return nil
	}
	kind := errs.Internal
	for k := errs.Internal; k <= errs.Cancelled; k++ {
		if k.String() == e.Code {
			kind = k
		}
	}
	err := errs.Errorf(kind, "%s", e.Message)
	if e.Hint != "" {
		err = errs.Hint(err, "%s", e.Hint)
	}
	return err
}

// ReadRequest reads one request of at most 64 KiB from r. Unknown keys and verbs, negative numbers
// and an installation from nowhere are errs.Invalid.
func ReadRequest(r io.Reader) (Request, error) {
	var q Request
	d := json.NewDecoder(fsx.Limit(r, requestMax))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return q, errs.Errorf(errs.Invalid, "control request: %w", err)
	}
	switch q.Op {
	case OpStatus, OpHistory, OpLogs, OpInstall, OpRollback, OpReload:
	default:
		return q, errs.Errorf(errs.Invalid, "control request: no verb %.40q", q.Op)
	}
	if q.Generation < 0 || q.Lines < 0 || q.Lines > linesMax {
		return q, errs.Errorf(errs.Invalid, "control request: generation %d, lines %d", q.Generation, q.Lines)
	}
	if q.Op == OpInstall && q.Source == "" {
		return q, errs.Errorf(errs.Invalid, "control request: install needs a source")
	}
	return q, nil
}
