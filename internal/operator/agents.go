package operator

import (
	"context"
	"slices"
	"time"

	"overland/internal/errs"
	"overland/internal/operator/agents"
	"overland/internal/release"
	"overland/internal/trust"
)

// findAgents returns the agent programs of the folder that was given, or of "agents" beside
// this program.
func (p *Operator) findAgents() (*agents.Set, error) {
	dir := p.o.Agents
	if dir == "" {
		var err error
		if dir, err = agents.Beside(); err != nil {
			return nil, err
		}
	}
	return agents.Find(dir)
}

// promoteAgent releases the agent programs of this machine, when they are new, and promotes them to
// the channel unless it has run them before: an operator with older programs, or who sealed before
// a rollback, does not bring them back.
func (w *sealed) promoteAgent(ctx context.Context) (promoted bool, err error) {
	set, err := w.findAgents()
	if err != nil {
		if w.hasAgent(ctx) {
			// The channel has an agent already, so a volume can be made without this machine's.
			return false, nil
		}
		return false, err
	}
	ref := set.Ref()
	now, err := w.repo.Read(ctx)
	if err != nil {
		return false, err
	}
	past, err := ran(ctx, now, w.s.Channel, ref)
	if err != nil || past {
		return false, err
	}
	desc, err := set.Write(ctx, w.depot)
	if err != nil {
		return false, err
	}
	if err := release.PublishAgent(ctx, w.repo, w.depot, release.Draft{Ref: ref, Index: desc}); err != nil {
		return false, err
	}
	_, err = release.Promote(ctx, w.repo, ref, w.s.Channel, false)
	return err == nil, err
}

// hasAgent reports whether the channel runs an agent that nodes believe, once renew has been called.
func (w *sealed) hasAgent(ctx context.Context) bool {
	now, err := w.repo.Read(ctx)
	if err != nil {
		return false
	}
	list, _, err := release.Judge(now, w.s.Channel, time.Time{})
	return err == nil && slices.ContainsFunc(list, func(e release.Entry) bool { return e.App == release.AgentApp })
}

// ran reports whether channel ch runs or has ever run ref.
func ran(ctx context.Context, now trust.Signed, ch release.Channel, ref release.Ref) (bool, error) {
	signed, err := release.Find(now, ref)
	if err != nil {
		// Never released, so never promoted.
		return false, ignoreNotFound(err)
	}
	history, err := now.History(ctx, ch.Role())
	if err != nil {
		return false, err
	}
	for _, v := range history {
		if t, ok := v.Targets[release.ChannelPath(ch, ref.App)]; ok && t.Digest == signed.Digest {
			return true, nil
		}
	}
	return false, nil
}

func ignoreNotFound(err error) error {
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	return err
}
