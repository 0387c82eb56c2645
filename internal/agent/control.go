package agent

import (
	"encoding/json"
	"io"
	"path/filepath"

	"overland/internal/agent/node"
	"overland/internal/errs"
)

// SocketName is the control socket's place below the node's directory.
const SocketName = "run/agent.sock"

// The verbs of a Request.
const (
	OpStatus   = "status"   // → Status
	OpHistory  = "history"  // → Events
	OpLogs     = "logs"     // Service, Lines → Lines
	OpInstall  = "install"  // Source, Install → Report
	OpRollback = "rollback" // Generation → Report
	OpReload   = "reload"   // read config.json again and look at every source now
)

const requestMax = 64 << 10 // bytes

// Request is one JSON line to the running agent. One connection carries one request and its response; with Progress,
// lines that hold nothing but progress come before it.
type Request struct {
	Op         string          `json:"op"`
	Source     string          `json:"source,omitempty"` // absolute path of a volume or directory, or a site URL
	Install    *InstallOptions `json:"install,omitempty"`
	Generation int             `json:"generation,omitempty"` // to roll back to; 0 = the good one before
	Service    string          `json:"service,omitempty"`    // app.service; "" = all
	Lines      int             `json:"lines,omitempty"`      // log lines; 0 = 50
	Progress   bool            `json:"progress,omitempty"`   // install, rollback: tell the steps
}

// Response is the one JSON line that answers a Request. A rolled-back switch carries both Error and Report.
type Response struct {
	Progress *Progress    `json:"progress,omitempty"` // a step; this is not the response yet
	Error    *ErrorBody   `json:"error,omitempty"`
	Status   *Status      `json:"status,omitempty"`
	Report   *Report      `json:"report,omitempty"`
	Events   []node.Event `json:"events,omitempty"`
	Lines    []string     `json:"lines,omitempty"`
}

// ErrorBody is an error as it crosses the socket.
type ErrorBody struct {
	Code    string `json:"code"` // errs.Kind
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Err returns the error that b carries, with its kind and hint; nil for nil.
func (b *ErrorBody) Err() error {
	if b == nil {
		return nil
	}
	kind := errs.Internal
	for k := errs.Internal; k <= errs.Cancelled; k++ {
		if k.String() == b.Code {
			kind = k
		}
	}
	err := errs.Errorf(kind, "%s", b.Message)
	if b.Hint != "" {
		err = errs.Hint(err, "%s", b.Hint)
	}
	return err
}

func errorBody(err error) *ErrorBody {
	if err == nil {
		return nil
	}
	return &ErrorBody{Code: errs.KindOf(err).String(), Message: err.Error(), Hint: errs.HintOf(err)}
}

// readRequest reads one request: at most requestMax bytes, known verbs, sensible numbers.
func readRequest(r io.Reader) (Request, error) {
	var q Request
	d := json.NewDecoder(io.LimitReader(r, requestMax))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return q, errs.Errorf(errs.Invalid, "control request: %w", err)
	}
	switch q.Op {
	case OpStatus, OpHistory, OpLogs, OpInstall, OpRollback, OpReload:
	default:
		return q, errs.Errorf(errs.Invalid, "control request: no verb %.40q", q.Op)
	}
	if q.Generation < 0 || q.Lines < 0 || q.Lines > 10000 {
		return q, errs.Errorf(errs.Invalid, "control request: generation %d, lines %d", q.Generation, q.Lines)
	}
	if q.Op == OpInstall && q.Source == "" {
		return q, errs.Errorf(errs.Invalid, "control request: install needs a source")
	}
	return q, nil
}

func socketPath(dir string) string { return filepath.Join(dir, filepath.FromSlash(SocketName)) }
