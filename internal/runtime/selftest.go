package runtime

import (
	"context"
	"time"
)

// DefaultStable and DefaultWithin are what a spec gets that does not say otherwise.
const (
	DefaultStable = 5 * time.Second
	DefaultWithin = 60 * time.Second
)

// Subject is what a self-test judges; a *Supervisor is one.
type Subject interface {
	// Watch returns the status and a channel that is closed when it has changed.
	Watch() (Status, <-chan struct{})
}

// Result is what came of one check, in the order of the spec; "stable" is the last one.
type Result struct {
	Check string        `json:"check"` // "http http://127.0.0.1:6420/health"
	OK    bool          `json:"ok"`
	Err   string        `json:"error,omitempty"` // why not, in words: "connection refused for 1m0s"
	Took  time.Duration `json:"took"`            // nanoseconds until it passed or was given up
}

// String returns the check and, when it failed, why.
func (r Result) String() string {
	if r.OK {
		return r.Check + ": ok"
	}
	return r.Check + ": " + r.Err
}

// SelfTest runs the checks of inst until each has passed or its Within has gone by, then watches s for Stable. It
// returns one Result per check and one for "stable". It never takes longer than the longest Within plus Stable, counted
// from the service's start, and ends early when a check failed for good or the process will not run again.
func SelfTest(ctx context.Context, rt Runtime, inst Instance, s Subject) []Result {
	return nil
}

// Failed returns the first Result that is not OK.
func Failed(list []Result) (Result, bool) {
	for _, r := range list {
		if !r.OK {
			return r, true
		}
	}
	return Result{}, false
}
