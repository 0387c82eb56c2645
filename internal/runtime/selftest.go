package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"overland/internal/appfile"
	"overland/internal/printer"
)

// DefaultStable and DefaultWithin are the values for a spec that names none.
const (
	DefaultStable = 5 * time.Second
	DefaultWithin = 60 * time.Second
)

// Subject is what a self-test watches; a *Supervisor is one.
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

// Failed returns the first Result that is not OK for a reason of its own; one that was only given up
// because of another counts when there is no such reason.
func Failed(list []Result) (failed Result, bad bool) {
	for _, r := range list {
		if !r.OK && (!bad || failed.Err == errOther.Error()) {
			failed, bad = r, true
		}
	}
	return failed, bad
}

// errOther ends the checks that are still tried when another one failed for good.
var errOther = errors.New("given up: another check failed")

// SelfTest runs the checks of inst side by side until each has passed or its Within has gone by: that
// it listens on its ports, and those of its spec. Then it watches s for Stable, during which the
// process must not restart. It returns one Result per check and one for "stable". It takes no longer than the longest Within plus Stable, counted from
// the service's start (or from now, for one that runs already), and ends early when a check failed
// for good or the service will not run again as it is.
func SelfTest(ctx context.Context, rt Runtime, inst Instance, s Subject) []Result {
	called := time.Now()
	first, err := awaitStart(ctx, inst, s)
	probes := newProbes(rt, inst, first.LogStart)
	results := make([]Result, len(probes)+1)
	if err != nil {
		for k, p := range probes {
			results[k] = Result{Check: p.title, Err: printer.Error(err), Took: time.Since(called)}
		}
		results[len(results)-1] = Result{Check: "stable", Err: printer.Error(err), Took: time.Since(called)}
		return results
	}
	start := called
	if first.Since.After(called) {
		start = first.Since
	}

	trial, give := context.WithCancelCause(ctx)
	defer give(nil)
	var all sync.WaitGroup
	for k, p := range probes {
		all.Go(func() {
			err := p.passes(trial, start, s)
			results[k] = Result{Check: p.title, OK: err == nil, Took: time.Since(start)}
			if err != nil {
				results[k].Err = printer.Error(err)
				give(errOther)
			}
		})
	}
	var watcher sync.WaitGroup
	watcher.Go(func() { giveUp(trial, s, give) })
	all.Wait()
	give(nil)
	watcher.Wait()

	stable := Result{Check: "stable", Err: "not tried: a check failed"}
	if _, bad := Failed(results[:len(results)-1]); !bad {
		began := time.Now()
		err := hold(ctx, s, inst.Spec.Stable.Or(DefaultStable))
		stable = Result{Check: "stable", OK: err == nil, Took: time.Since(began)}
		if err != nil {
			stable.Err = printer.Error(err)
		}
	}
	results[len(results)-1] = stable
	return results
}

// awaitStart waits until the service runs, for as long as its most patient check would.
func awaitStart(ctx context.Context, inst Instance, s Subject) (Status, error) {
	patience := inst.Spec.Readiness.Or(DefaultWithin)
	for _, c := range inst.Spec.SelfTest {
		patience = max(patience, within(inst, c))
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		st, changed := s.Watch()
		switch {
		case st.State == Running || st.Done():
			return st, nil
		case st.Final:
			return st, gone(st)
		}
		select {
		case <-changed:
		case <-timer.C:
			return st, fmt.Errorf("the service did not start for %s%s", patience, history(st))
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}

// giveUp ends the trial when the service will not run again.
func giveUp(ctx context.Context, s Subject, give context.CancelCauseFunc) {
	for {
		st, changed := s.Watch()
		if st.Final {
			if !st.Done() { // what it has left may still pass
				give(gone(st))
			}
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// hold returns nil when the service stays the same process for d, or has done its work.
func hold(ctx context.Context, s Subject, d time.Duration) error {
	began := time.Now()
	timer := time.NewTimer(d)
	defer timer.Stop()
	first, changed := s.Watch()
	for st := first; ; {
		if st.Done() {
			return nil
		}
		if st.State != Running || st.PID != first.PID || st.Restarts != first.Restarts {
			return fmt.Errorf("did not stay up for %s: %s after %s", d, ending(st), time.Since(began).Round(time.Millisecond))
		}
		select {
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			st, changed = s.Watch()
		}
	}
}

func within(inst Instance, c appfile.Check) time.Duration {
	return c.Within.Or(inst.Spec.Readiness.Or(DefaultWithin))
}

// gone says why a service will not run again.
func gone(st Status) error {
	if st.Err != "" {
		return errors.New(st.Err)
	}
	return fmt.Errorf("the service is gone: %s", ending(st))
}

func ending(st Status) string {
	switch {
	case st.Err != "":
		return st.Err
	case st.LastExit != nil:
		return st.LastExit.String()
	}
	return string(st.State)
}

// history returns what a failed check should also say of the service; "" when it just ran.
func history(st Status) string {
	switch {
	case st.Err != "":
		return "; " + st.Err
	case st.LastExit != nil:
		return fmt.Sprintf("; the service ended meanwhile, last with %s", st.LastExit)
	}
	return ""
}
