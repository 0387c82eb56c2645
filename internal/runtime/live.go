package runtime

import (
	"context"
	"fmt"
	"time"

	"overland/internal/appfile"
)

// live tries the checks of inst that go on, each every so often, while the process that started at since
// runs, and tells on unwell when one has failed too often in a row; then, and when ctx ends, it returns.
// Failures count from the first time that the check passes, or from the end of its time to pass: before,
// the service is still starting.
func live(ctx context.Context, rt Runtime, inst Instance, info Info, unwell chan<- error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(inst.Spec.SelfTest))
	running := 0
	for _, c := range inst.Spec.SelfTest {
		if c.Every == 0 {
			continue
		}
		running++
		go func() { failed <- goOn(ctx, newProbe(rt, inst, c, info.LogStart), c, info.Since) }()
	}
	var first error
	for ; running > 0; running-- {
		if err := <-failed; err != nil && first == nil {
			first = err
			cancel()
		}
	}
	if first != nil {
		unwell <- first
	}
}

// goOn tries one check until ctx ends (nil) or it has failed too often in a row.
func goOn(ctx context.Context, p *probe, c appfile.Check, since time.Time) error {
	tick := time.NewTicker(time.Duration(c.Every))
	defer tick.Stop()
	passed, failures := false, 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		err := p.timely(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			passed, failures = true, 0
		case passed || time.Since(since) >= p.within:
			if failures++; failures >= c.Most() {
				return fmt.Errorf("%s failed %d times in a row: %w", p.title, failures, err)
			}
		}
	}
}

// timely is once, bounded by the check's own time as well.
func (p *probe) timely(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	return p.once(bounded)
}

// goesOn reports whether a check of inst goes on after the switch.
func goesOn(inst Instance) bool {
	for _, c := range inst.Spec.SelfTest {
		if c.Every > 0 {
			return true
		}
	}
	return false
}
