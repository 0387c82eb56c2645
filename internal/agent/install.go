package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"overland/internal/agent/stage"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/printer"
	"overland/internal/progress"
)

// Install makes the node run what src says of its channel. A generation that does not prove itself
// is rolled back: Report says why and the error is of kind errs.Partial. Nothing is written outside
// depot/ and trust/ before everything is verified. Installing again what runs changes nothing. A
// switch in progress is waited for when src asks for the same generation; otherwise it is ended once
// all of src is here.
func (a *Agent) Install(ctx context.Context, src stage.Source, o nodeapi.InstallOptions) (nodeapi.Report, error) {
	done, err := a.takeNow(ctx)
	if err != nil {
		return nodeapi.Report{}, err
	}
	defer done()
	r, err := a.install(ctx, ctx, src, o, a.stager.Whole)
	if err == nil && r.Outcome == nodeapi.Staged && !o.Defer {
		again := a.turn.yield()
		decided, awaitErr := a.switcher.Await(ctx)
		again()
		if decided.Outcome != "" || awaitErr != nil {
			r, err = decided, awaitErr
		}
	}
	return r, fsx.Full(err)
}

// takeNow takes the turn for a person, who is told when that takes a while.
func (a *Agent) takeNow(ctx context.Context) (done func(), err error) {
	const soon = time.Second
	late := time.AfterFunc(soon, func() { a.progress(progress.Event{Step: "wait", What: "another change of this node"}) })
	defer late.Stop()
	return a.turn.takeNow(ctx)
}

// look installs what src says, as something that came by itself: a person's request interrupts it
// while it stages, as does a site after an hour when src was found, and then the error is of kind
// errs.Cancelled and says nothing about src.
func (a *Agent) look(ctx context.Context, src stage.Source) (nodeapi.Report, error) {
	staging, done, err := a.turn.takeLook(ctx, !stage.Live(src))
	if err != nil {
		return nodeapi.Report{}, err
	}
	defer done()
	r, err := a.install(ctx, staging, src, nodeapi.InstallOptions{}, nil)
	if err != nil && errs.KindOf(err) != errs.Partial && staging.Err() != nil && ctx.Err() == nil {
		a.follower.Rouse() // the source is looked at again when they are served
		// Which read was ended, and in what words, is of no interest to anybody.
		err = errs.E(errs.Cancelled, errors.New("a person's request, or a site, came first"))
	}
	return r, err
}

// install is Install for a caller who has the turn. Until the switch begins, the end of staging
// ends it; afterwards only the end of ctx does. whole checks a source that asks for what the node runs
// already; nil = no check.
func (a *Agent) install(ctx, staging context.Context, src stage.Source, o nodeapi.InstallOptions,
	whole func(context.Context, stage.Source, stage.Plan) error,
) (nodeapi.Report, error) {
	if !o.Defer {
		if err := a.switcher.Resume(ctx); err != nil {
			return nodeapi.Report{}, err
		}
	}
	p, err := a.stager.Plan(staging, src, o)
	if err != nil {
		return nodeapi.Report{}, err
	}
	gatherErr := a.stager.Gather(staging, src, &p)
	if errs.KindOf(gatherErr) == errs.Untrusted {
		return nodeapi.Report{}, gatherErr
	}
	// A release that this agent cannot read may be one that the next agent can.
	if err := a.bringAgent(staging, src, p); err != nil {
		return nodeapi.Report{}, err
	}
	if p.None != nil {
		return nodeapi.Report{}, p.None
	}
	if p.Unchanged > 0 {
		if whole != nil {
			if err := whole(staging, src, p); err != nil {
				return nodeapi.Report{}, err
			}
		}
		return a.unchanged(p)
	}
	if gatherErr != nil {
		return nodeapi.Report{}, gatherErr
	}
	if err := a.switcher.Ports(&p.Generation); err != nil {
		return nodeapi.Report{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	number, err := a.stager.Stage(staging, src, &p)
	if err != nil {
		return nodeapi.Report{}, err
	}
	if p.Unchanged > 0 {
		return a.unchanged(p)
	}
	from := a.node.State().Current
	if err := a.switcher.Ports(&p.Generation); err != nil { // fetching may have taken a while
		return nodeapi.Report{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	if err := a.switcher.Begin(ctx, number, &p.Generation, p.Settings); err != nil {
		return nodeapi.Report{}, err
	}
	if o.Defer {
		return a.switcher.Result(nodeapi.Report{Outcome: nodeapi.Staged, Generation: number, Tried: number, From: from, Refused: p.Refused}, &p.Generation), nil
	}
	r, err := a.switcher.Decide(ctx)
	r.Refused = p.Refused
	return r, err
}

// bringAgent brings the agent program that p names. An agent that cannot be upgraded goes on
// serving; the error is only that of the end of staging.
func (a *Agent) bringAgent(staging context.Context, src stage.Source, p stage.Plan) error {
	program, err := a.stager.Program(staging, src, p.Agent)
	switch {
	case err == nil && program != nil:
		a.hand.put(program)
	case err != nil && staging.Err() != nil:
		return err
	case err != nil:
		a.node.Problem("agent", printer.Error(err))
		a.o.Log.Warn("the agent program was not fetched", "error", err)
	}
	return nil
}

// unchanged ends an installation of what the node runs already, or is about to.
func (a *Agent) unchanged(p stage.Plan) (nodeapi.Report, error) {
	if err := a.node.Follow(p.Settings); err != nil {
		return nodeapi.Report{}, err
	}
	outcome := nodeapi.Unchanged
	if i := a.node.State().Intent; i != nil && i.Generation == p.Unchanged {
		outcome = nodeapi.Staged
	}
	return a.switcher.Result(nodeapi.Report{Outcome: outcome, Generation: p.Unchanged, Tried: p.Unchanged, Refused: p.Refused}, &p.Generation), nil
}

// Rollback switches to generation number, 0 for the good one before the current, by the same
// protocol as Install. What is left is not taken again until the channel names something new. A
// switch that is being tried is ended, which is all when number is 0.
func (a *Agent) Rollback(ctx context.Context, number int) (nodeapi.Report, error) {
	done, err := a.takeNow(ctx)
	if err != nil {
		return nodeapi.Report{}, err
	}
	defer done()
	return a.switcher.Rollback(ctx, number)
}

// Stop stops every service of the node and waits until they are gone.
func (a *Agent) Stop(ctx context.Context) error {
	done, err := a.turn.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	return a.switcher.Stop(ctx)
}
