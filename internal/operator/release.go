package operator

import (
	"context"
	"slices"
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

// Release builds one commit for all its platforms, writes the release and signs it. Doing it again changes nothing.
func (p *Pipeline) Release(ctx context.Context, o SourceOptions) (*Released, error) {
	repo, err := p.Repository()
	if err != nil {
		return nil, err
	}
	src, err := LoadSource(ctx, o)
	if err != nil {
		return nil, err
	}
	return p.release(ctx, repo, src)
}

func (p *Pipeline) release(ctx context.Context, repo *repository.Repository, src *Source) (*Released, error) {
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

// Promotion is a channel's change.
type Promotion struct {
	release.Entry
	Channel release.Channel
	Before  release.Entry // what the channel ran of the application; zero when nothing
	New     bool          // the channel was made by this
}

// Promote signs that channel To runs a release. Two operators who promote at once are served one after the other.
func (p *Pipeline) Promote(ctx context.Context, o PromoteOptions) (*Promotion, error) {
	repo, err := p.Repository()
	if err != nil {
		return nil, err
	}
	if o.From == "" {
		return p.promoted(repo, o.To, o.Ref.App, func() (release.Entry, error) {
			return release.Promote(ctx, repo, o.Ref, o.To)
		})
	}
	if o.App == "" {
		if o.App, err = p.onlyApp(ctx, repo, o.From); err != nil {
			return nil, err
		}
	}
	if _, err := p.show(ctx, repo, o.From); err != nil {
		return nil, err
	}
	return p.promoted(repo, o.To, o.App, func() (release.Entry, error) {
		return release.PromoteFrom(ctx, repo, o.App, o.From, o.To)
	})
}

// Rollback returns channel ch to what it ran of app before; app may be "" when the channel runs one application.
func (p *Pipeline) Rollback(ctx context.Context, ch release.Channel, app string) (*Promotion, error) {
	repo, err := p.Repository()
	if err != nil {
		return nil, err
	}
	if app == "" {
		if app, err = p.onlyApp(ctx, repo, ch); err != nil {
			return nil, err
		}
	}
	if _, err := p.show(ctx, repo, ch); err != nil {
		return nil, err
	}
	return p.promoted(repo, ch, app, func() (release.Entry, error) {
		return release.Rollback(ctx, repo, ch, app)
	})
}

func (p *Pipeline) promoted(repo *repository.Repository, ch release.Channel, app string, do func() (release.Entry, error)) (*Promotion, error) {
	was, err := release.Show(repo, ch)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, err
	}
	n := &Promotion{Channel: ch, New: len(was) == 0}
	if i := slices.IndexFunc(was, func(e release.Entry) bool { return e.App == app }); i >= 0 {
		n.Before = was[i]
	}
	n.Entry, err = do()
	return n, err
}

// onlyApp returns the application that channel ch runs, when it is one; the agent does not count.
func (p *Pipeline) onlyApp(ctx context.Context, repo *repository.Repository, ch release.Channel) (string, error) {
	list, err := p.show(ctx, repo, ch)
	if err != nil {
		return "", err
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

// Channel returns what channel ch runs. An unknown channel is an error of kind NotFound that lists those there are.
func (p *Pipeline) Channel(ctx context.Context, ch release.Channel) ([]release.Entry, error) {
	repo, err := p.Repository()
	if err != nil {
		return nil, err
	}
	return p.show(ctx, repo, ch)
}

func (p *Pipeline) show(ctx context.Context, repo *repository.Repository, ch release.Channel) ([]release.Entry, error) {
	list, err := release.Show(repo, ch)
	if errs.KindOf(err) != errs.NotFound {
		return list, err
	}
	all, listErr := channels(ctx, repo)
	if listErr != nil {
		return nil, listErr
	}
	if len(all) == 0 {
		return nil, errs.Hint(err, "there are no channels yet: overland promote APP@VERSION --to %s makes it", ch)
	}
	return nil, errs.Hint(err, "channels: %s", strings.Join(all, ", "))
}

// Channels returns the names of all channels, sorted.
func (p *Pipeline) Channels(ctx context.Context) ([]string, error) {
	repo, err := p.Repository()
	if err != nil {
		return nil, err
	}
	return channels(ctx, repo)
}

func channels(ctx context.Context, repo *repository.Repository) ([]string, error) {
	info, err := repo.Show(ctx)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, r := range info.Roles {
		if name, ok := strings.CutPrefix(r.Role, release.Channel("").Role()); ok && r.Targets > 0 {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}
