package agent

import (
	"context"
	"errors"

	"overland/internal/agent/control"
	"overland/internal/agent/follow"
	"overland/internal/agent/switchover"
	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// Run serves the control socket, starts or adopts the services of the current generation, decides
// an undecided switch, and then follows the node's sources until ctx ends. Services go on running
// after it. Its error is nil when ctx ended.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := control.Listen(a.dir, a.o.FS, a, a.steps)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	a.running.Store(true)
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		a.handOvers(ctx)
	}()
	healed := make(chan struct{})
	go func() {
		defer close(healed)
		a.heal(ctx)
	}()
	err = a.follower.Run(ctx)
	cancel()
	<-handed
	<-healed
	return errors.Join(ended(err), ended(<-served))
}

// heal leaves a new generation whose services are not well, until ctx ends.
func (a *Agent) heal(ctx context.Context) {
	for {
		select {
		case u := <-a.switcher.Unwell():
			a.unwell(ctx, u)
		case <-ctx.Done():
			return
		}
	}
}

func (a *Agent) unwell(ctx context.Context, u switchover.Unwell) {
	done, err := a.turn.take(ctx)
	if err != nil {
		return
	}
	defer done()
	if err := a.switcher.GoBack(ctx, u); err != nil && ctx.Err() == nil {
		a.o.Log.Warn("a generation that is not well was not left", "error", err)
	}
}

func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (a *Agent) resume(ctx context.Context) error {
	done, err := a.turn.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	return a.switcher.Resume(ctx)
}

// resumed is called once, when the services of the current generation run.
func (a *Agent) resumed() {
	a.tellReady()
	a.hand.allow.Do(func() { close(a.hand.resumed) })
}

// tellReady tells, once, that the services run and the agent answers.
func (a *Agent) tellReady() {
	if a.running.Load() {
		a.ready.Do(func() {
			if a.o.Ready != nil {
				a.o.Ready()
			}
		})
	}
}

// Handle does what the client that sent q asks.
func (a *Agent) Handle(ctx context.Context, q nodeapi.Request) (nodeapi.Response, error) {
	switch q.Op {
	case nodeapi.OpStatus:
		s := a.Status()
		return nodeapi.Response{Status: &s}, nil
	case nodeapi.OpHistory:
		return nodeapi.Response{Events: a.History()}, nil
	case nodeapi.OpLogs:
		lines, err := PeekLogs(a.dir, q.Service, q.Lines)
		return nodeapi.Response{Lines: lines}, err
	case nodeapi.OpReload:
		a.follower.Rouse()
		return nodeapi.Response{}, nil
	case nodeapi.OpRollback:
		r, err := a.Rollback(ctx, q.Generation)
		return nodeapi.Response{Report: &r}, err
	case nodeapi.OpInstall:
		src, done, err := follow.OpenSource(q.Source)
		if err != nil {
			return nodeapi.Response{}, err
		}
		var o nodeapi.InstallOptions
		if q.Install != nil {
			o = *q.Install
		}
		r, err := a.Install(ctx, src, o)
		if closed := done(); err == nil {
			err = closed
		}
		return nodeapi.Response{Report: &r}, err
	}
	return nodeapi.Response{}, errs.Errorf(errs.Invalid, "control request: no verb %q", q.Op)
}
