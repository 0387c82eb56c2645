package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"overland/internal/agent/node"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/nodeapi"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// Plan is what a verified source asks of this node.
type Plan struct {
	Settings   node.Settings
	Generation node.Generation // without programs until Gather fills them in
	Agent      *release.Entry  // the agent's own release, when the channel names one
	Unchanged  int             // the generation that already is this; 0 = a new one
	Refused    []string        // applications that the channel names and this machine does not take: which, and why
	None       error           // why none of the channel's applications can be taken; nil = one can

	blobs []fetch.Blob // the programs to fetch
	retry bool
}

// Plan verifies what src says, from the pinned root to the channel, and returns what
// to do. It writes only to trust/.
func (s *Stager) Plan(ctx context.Context, src Source, o nodeapi.InstallOptions) (Plan, error) {
	s.mu.Lock()
	clear(s.names) // of the plan before
	s.mu.Unlock()
	st := s.node.State()
	settings, err := st.Settings.With(o)
	if err != nil {
		return Plan{}, err
	}
	s.o.Progress(progress.Event{Step: "verify", What: src.Name()})
	if err := s.pin(ctx, src, settings.Root, o.Root != ""); err != nil {
		return Plan{}, err
	}
	if settings.Channel == "" && !Live(src) {
		return Plan{}, WithoutChannel(src)
	}
	if err := OtherChannel(src, settings.Channel); err != nil {
		return Plan{}, err
	}
	settings.Root = string(s.trust.Fingerprint())
	fresh, err := s.trust.Refresh(ctx, src, client.RefreshOptions{Offline: o.Offline || !Live(src)})
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	if settings.Channel == "" {
		if settings.Channel, err = s.onlyChannel(src); err != nil {
			return Plan{}, err
		}
	}
	s.mu.Lock()
	s.fresh = nodeapi.Freshness{Known: fresh.Known, SignedAt: fresh.SignedAt, Expires: fresh.Expires}
	s.mu.Unlock()
	entries, refused, err := release.Current(ctx, s.trust, release.Channel(settings.Channel))
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", src.Name(), err)
	}
	s.returned(entries, refused)
	if len(entries)+len(refused) == 0 {
		return Plan{}, errs.Hint(errs.Errorf(errs.NotFound, "%s: channel %s names no release", src.Name(), settings.Channel),
			"overland promote APP@VERSION --to %s", settings.Channel)
	}
	p := Plan{
		Settings: settings, retry: o.Retry,
		Generation: node.Generation{Schema: node.Schema, Channel: settings.Channel, Source: src.Name()},
	}
	for _, e := range entries {
		if e.App == release.AgentApp {
			p.Agent = &e
			continue
		}
		p.Generation.Apps = append(p.Generation.Apps, node.App{App: e.App, Version: e.Version, Release: e.Digest})
	}
	good := len(p.Generation.Apps)
	for _, r := range refused {
		s.keep(&p, r.App, r.Err)
	}
	if good == 0 && len(refused) > 0 && (len(p.Generation.Apps) > 0 || p.Agent == nil || st.Current == 0) {
		p.None = fmt.Errorf("%s: %w", src.Name(), refused[0].Err)
	}
	if p.None != nil && len(p.Generation.Apps) == 0 {
		return p, p.None
	}
	return s.compare(p, st)
}

// onlyChannel returns the channel of an operator who has only one, by what is signed and fresh: then
// there is nothing that the site, which is not trusted, could choose.
func (s *Stager) onlyChannel(src Source) (string, error) {
	list, err := release.Channels(s.trust)
	if err != nil {
		return "", err
	}
	if len(list) == 1 {
		s.o.Progress(progress.Event{Step: "channel", What: string(list[0]) + ", the only one"})
		return string(list[0]), nil
	}
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = string(c)
	}
	return "", errs.Hint(errs.Errorf(errs.Untrusted, "%s: which channel this machine follows is not for the source to say", src.Name()),
		"give it as its operator does, beside the fingerprint: --channel NAME; there are: %s", inShort(names))
}

// returned remembers, for the status, what of the channel stands on its fallback, and names what was
// signed of a fallback in vain.
func (s *Stager) returned(entries []release.Entry, refused []release.Refused) {
	var back []nodeapi.Return
	var doubts []string
	for _, r := range refused {
		entries = append(slices.Clip(entries), r.Entry)
	}
	for _, e := range entries {
		if b := e.Back; b != nil {
			back = append(back, nodeapi.Return{App: e.App, Version: e.Version, Undone: b.Undone.Version, By: b.By})
		}
		if e.Doubt != nil {
			doubts = append(doubts, e.Doubt.Error())
		}
	}
	s.mu.Lock()
	s.back = back
	s.mu.Unlock()
	s.node.Problem("fallback", inShort(doubts))
}

// keep notes that p cannot have app as its channel says, because of err: it stays as it runs here,
// or is left out. Each application is decided alone, so that the signers of one never keep news of
// another from the node.
func (s *Stager) keep(p *Plan, app string, err error) {
	old := s.runs(app)
	if old != nil {
		p.Generation.Apps = append(p.Generation.Apps, node.App{App: old.App, Version: old.Version, Release: old.Release})
		p.Generation.Sort()
	}
	s.note(p, app, old, err)
}

// note says in p that app is not as the channel says; old is what runs of it here, nil = nothing.
func (s *Stager) note(p *Plan, app string, old *node.App, err error) {
	what := "is not installed"
	switch {
	case app == release.AgentApp:
		what = "stays as it is"
	case old != nil:
		what = "stays at " + old.Version
	}
	p.Refused = append(p.Refused, fmt.Sprintf("%.100s %s: %v", app, what, err))
}

// runs returns what this node runs of app; nil when it does not.
func (s *Stager) runs(app string) *node.App {
	st := s.node.State()
	number := st.Current
	if number == 0 && st.Intent != nil {
		number = st.Intent.Generation
	}
	g, err := s.node.Generation(number)
	if err != nil {
		return nil
	}
	return g.App(app)
}

// compare finds out whether p is what the node runs already or what it refused.
func (s *Stager) compare(p Plan, st node.State) (Plan, error) {
	s.tell(p.Refused)
	if len(p.Generation.Apps) == 0 && st.Current == 0 && st.Intent == nil {
		return p, errs.Errorf(errs.NotFound, "%s: channel %s names no application", p.Generation.Source, p.Generation.Channel)
	}
	content := p.Generation.Content()
	number := st.Current
	if st.Intent != nil {
		number = st.Intent.Generation
	}
	if number > 0 {
		if g, err := s.node.Generation(number); err == nil && g.Content() == content {
			p.Unchanged, p.Generation = number, *g
			return p, nil
		}
	}
	bad, refused := st.Refused(content)
	switch {
	case refused && !p.retry:
		return p, errs.Hint(errs.Errorf(errs.Conflict, "%s: %s was tried here as generation %d and refused: %s",
			p.Generation.Source, strings.Join(p.Generation.Names(), ", "), bad.Generation, bad.Reason),
			"install something newer, or the same again with --retry")
	case refused:
		return p, s.node.Forgive(content)
	}
	return p, nil
}

// tell makes a problem of the applications that are not as the channel says, for the status.
func (s *Stager) tell(refused []string) { s.node.Problem("applications", inShort(refused)) }

// inShort returns the first of list, and how many there are beside.
func inShort(list []string) string {
	const most = 10
	text := strings.Join(list[:min(most, len(list))], "; ")
	if len(list) > most {
		text += fmt.Sprintf("; and %d more", len(list)-most)
	}
	return text
}

// pin makes the root with fingerprint root the node's, when it has none; one
// that has another root refuses.
func (s *Stager) pin(ctx context.Context, src Source, root string, asked bool) error {
	if s.trust.Pinned() && !asked {
		return nil
	}
	if root == "" {
		return errs.Hint(errs.Errorf(errs.Untrusted, "%s: %w", src.Name(), trust.ErrNotPinned),
			"compare the fingerprint that `overland trust show` prints and pass it: --root FINGERPRINT")
	}
	fp, err := trust.ParseFingerprint(root)
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	if err := s.trust.Pin(ctx, src, fp); err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	return nil
}
