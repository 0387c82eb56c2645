package operator

import (
	"context"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/trust/repository"
)

// Released is a release that was signed.
type Released struct {
	*Built
	Index ocispec.Descriptor // its OCI index in the depot
}

// Release builds one commit for all its platforms, writes the release and signs it.
// Doing it again changes nothing.
func (p *Operator) Release(ctx context.Context, o SourceOptions) (*Released, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, err
	}
	src, err := LoadSource(ctx, o)
	if err != nil {
		return nil, err
	}
	return p.release(ctx, repo, src)
}

func (p *Operator) release(ctx context.Context, repo *repository.Repository, src *Source) (*Released, error) {
	b, err := p.build(ctx, src, BuildOptions{})
	if err != nil {
		return nil, err
	}
	r := b.Release()
	if r.Inputs, err = p.writeInputs(ctx, b); err != nil {
		return nil, err
	}
	desc, err := release.Write(ctx, p.depot, r)
	if err != nil {
		return nil, err
	}
	return &Released{Built: b, Index: desc}, release.Publish(ctx, repo, b.Ref, desc)
}

// PromoteOptions say what to promote: Ref, or what channel From runs of App.
type PromoteOptions struct {
	Ref  release.Ref
	App  string // with From; "" = the only application there
	From release.Channel
	To   release.Channel
}

// Promote signs that channel To runs a release. Two promotions at
// once are made one after the other.
func (p *Operator) Promote(ctx context.Context, o PromoteOptions) (*release.Promotion, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, err
	}
	if o.From == "" {
		return release.Promote(ctx, repo, o.Ref, o.To)
	}
	if o.App, err = theApp(ctx, repo, o.From, o.App); err != nil {
		return nil, err
	}
	return release.PromoteFrom(ctx, repo, o.App, o.From, o.To)
}

// Rollback returns channel ch to what it ran of app before; app may be "" when
// the channel runs one application.
func (p *Operator) Rollback(ctx context.Context, ch release.Channel, app string) (*release.Promotion, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, err
	}
	if app, err = theApp(ctx, repo, ch, app); err != nil {
		return nil, err
	}
	return release.Rollback(ctx, repo, ch, app)
}

// theApp returns app, or when that is "" the only application that channel ch
// runs; the agent does not count.
func theApp(ctx context.Context, repo *repository.Repository, ch release.Channel, app string) (string, error) {
	now, err := repo.Read(ctx)
	if err != nil {
		return "", err
	}
	list, err := runs(now, ch)
	if err != nil || app != "" {
		return app, err
	}
	var apps []string
	for _, e := range list {
		if e.App != release.AgentApp {
			apps = append(apps, e.App)
		}
	}
	if len(apps) != 1 {
		return "", errs.Hint(errs.Errorf(errs.Invalid, "channel %s runs %d applications: which one?", ch, len(apps)),
			"name one of: %s", strings.Join(apps, ", "))
	}
	return apps[0], nil
}

// Channel returns what channel ch runs, and since when. An unknown channel is an error of kind
// NotFound that lists those there are.
func (p *Operator) Channel(ctx context.Context, ch release.Channel) ([]release.Entry, error) {
	now, err := p.Signed(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := runs(now, ch); err != nil {
		return nil, err
	}
	return release.Show(ctx, now, ch)
}

// Channels returns the names of all channels, sorted.
func (p *Operator) Channels(ctx context.Context) ([]string, error) {
	now, err := p.Signed(ctx)
	if err != nil {
		return nil, err
	}
	return channels(now), nil
}

// runs is release.Runs whose error for an unknown channel lists those there are.
func runs(now *repository.State, ch release.Channel) ([]release.Entry, error) {
	list, err := release.Runs(now, ch)
	if errs.KindOf(err) != errs.NotFound {
		return list, err
	}
	all := channels(now)
	if len(all) == 0 {
		return nil, errs.Hint(err, "there are no channels yet: overland promote APP@VERSION --to %s makes it", ch)
	}
	return nil, errs.Hint(err, "channels: %s", strings.Join(all, ", "))
}

func channels(now *repository.State) []string {
	var list []string
	for _, role := range now.Roles() {
		if name, ok := strings.CutPrefix(role, release.Channel("").Role()); ok {
			list = append(list, name)
		}
	}
	return list
}
