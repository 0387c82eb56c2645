package operator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/appfile"
	"overland/internal/builder/command"
	"overland/internal/confine/cell"
	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/operator/approval"
	"overland/internal/platform"
	"overland/internal/printer"
	"overland/internal/release"
	"overland/internal/session"
	"overland/internal/trust"
	"overland/internal/trust/doctor"
	"overland/internal/trust/repository"
)

// Released is a release that was signed.
type Released struct {
	*Built
	release.Published
	Index      ocispec.Descriptor // its OCI index in the depot
	Repository string             // hash of the first commit of its history
}

// ReleaseOptions say what is released; the zero value releases HEAD of the current folder.
type ReleaseOptions struct {
	Source    SourceOptions
	Take      release.TakeName
	Platforms []platform.Platform // empty = all; else the version names them, unless there are no others
	Parallel  int                 // programs built at once; 0 = 1
}

// Release builds one commit for its platforms, writes the release and signs it. Doing it again
// changes nothing. A name that is another repository's is an error of kind Conflict before anything
// is built, unless o.Take allows it.
func (p *Operator) Release(ctx context.Context, o ReleaseOptions) (*Released, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, err
	}
	src, err := p.source(ctx, o.Source)
	if err != nil {
		return nil, err
	}
	return p.release(ctx, repo, src, o)
}

func (p *Operator) release(ctx context.Context, repo *repository.Repository, src *Source, o ReleaseOptions) (*Released, error) {
	src.only(o.Platforms)
	root, err := src.Repo.Root(ctx, src.Commit)
	if err != nil {
		return nil, err
	}
	origin := release.Origin{Repository: root, Take: o.Take}
	now, err := repo.Read(ctx)
	if err == nil {
		err = release.MayName(now, src.App.Name, origin)
	}
	if err == nil {
		err = p.mayCall(ctx, now, src)
	}
	if err == nil {
		err = p.mayRelease(src.isolation)
	}
	if err != nil {
		return nil, err
	}
	p.warnRecording(src)
	b, err := p.build(ctx, src, BuildOptions{Platforms: o.Platforms, Parallel: o.Parallel})
	if err != nil {
		return nil, err
	}
	for _, a := range b.Programs {
		if err := p.mayRelease(a.Isolation); err != nil {
			return nil, err
		}
	}
	r := b.Release()
	if r.Inputs, err = p.writeInputs(ctx, b); err != nil {
		return nil, err
	}
	desc, err := release.Write(ctx, p.depot, r)
	if err != nil {
		return nil, err
	}
	closure, err := release.Closure(ctx, p.depot, desc.Digest, nil)
	if err != nil {
		return nil, err
	}
	for _, blob := range closure { // a tag holds it by now
		if err := p.keep(blob.Digest); err != nil {
			return nil, err
		}
	}
	done, err := release.Publish(ctx, repo, p.depot, release.Draft{Ref: b.Ref, Index: desc, Inputs: r.Inputs}, origin)
	if err != nil {
		return nil, err
	}
	if _, err := p.Provenance(ctx, b.Ref); err != nil {
		p.say.Warn(fmt.Sprintf("%s is released, but its provenance is not signed: %v", b.Ref, err))
	}
	return &Released{Built: b, Published: *done, Index: desc, Repository: root}, nil
}

// warnRecording tells that what a command fetches is not held to a lock: a Makefile's variables are
// enough for a recording to be believed.
func (p *Operator) warnRecording(src *Source) {
	if session.Kind(p.env()) != session.Recording {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(src.App.Artifacts)) {
		if _, ok := src.App.Artifacts[name].Settings.(*command.Command); ok {
			p.say.Warn(fmt.Sprintf("%s is built in a recording, from what its command fetches now: commit %s, then release outside of it", name, lockfile.Name))
		}
	}
}

// mayCall refuses src when its version is a tag that named another commit when it was released:
// before minutes go into a build.
func (p *Operator) mayCall(ctx context.Context, now *repository.State, src *Source) error {
	ref := release.Ref{App: src.App.Name, Version: src.Commit.Version}
	file, err := release.Find(now, ref)
	if err != nil || src.Commit.Tag.Name == "" {
		return nil //nolint:nilerr // it was not released
	}
	old, err := release.Read(ctx, p.depot, file.Digest)
	if err != nil || old.Commit == src.Commit.Hash {
		return nil //nolint:nilerr // not in this depot: Publish compares
	}
	return errs.Hint(errs.Errorf(errs.Conflict, "%s is released already, of commit %.12s: its tag was moved to %.12s", ref, old.Commit, src.Commit.Hash),
		"a release never changes: make a new tag")
}

// mayRelease refuses what was, or is to be, built without isolation where that is required.
func (p *Operator) mayRelease(i cell.Isolation) error {
	if i != cell.None || p.o.Isolated == nil {
		return nil
	}
	required, err := p.o.Isolated()
	if err == nil && required {
		err = errs.Hint(errs.Errorf(errs.Denied, "release of a build without isolation: %s says that releases need it", home.Settings.In(p.dir)),
			"leave out --isolation none, and build on a machine that can isolate")
	}
	return err
}

// PromoteOptions say what to promote: Ref, or what channel From runs of App.
type PromoteOptions struct {
	Ref  release.Ref
	App  string // with From; "" = the only application there
	From release.Channel
	To   release.Channel

	TakeName release.TakeName // To may run another repository's release of that name until now
}

// Promote signs that channel To runs a release. Two promotions at
// once are made one after the other.
func (p *Operator) Promote(ctx context.Context, o PromoteOptions) (*release.Promotion, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, err
	}
	if o.From == "" {
		if err := p.mayCommand(ctx, repo, o.Ref, o.To); err != nil {
			return nil, err
		}
		return release.Promote(ctx, repo, o.Ref, o.To, o.TakeName)
	}
	if o.App, err = theApp(ctx, repo, o.From, o.App); err != nil {
		return nil, err
	}
	now, err := repo.Read(ctx)
	if err != nil {
		return nil, err
	}
	if list, err := release.Runs(now, o.From); err == nil {
		for _, e := range list {
			if e.App == o.App {
				if err := p.mayCommand(ctx, repo, e.Ref(), o.To); err != nil {
					return nil, err
				}
			}
		}
	}
	return release.PromoteFrom(ctx, repo, o.App, o.From, o.To, o.TakeName)
}

// mayCommand refuses a release with a command that another application of channel to has: nodes
// would have to leave one of them out.
func (p *Operator) mayCommand(ctx context.Context, repo *repository.Repository, ref release.Ref, to release.Channel) error {
	now, err := repo.Read(ctx)
	if err != nil {
		return err
	}
	commands := func(ref release.Ref) map[string]string {
		file, err := release.Find(now, ref)
		if err != nil {
			return nil // Promote tells
		}
		r, err := release.Read(ctx, p.depot, file.Digest)
		if err != nil {
			return nil // not in this depot
		}
		return r.Commands
	}
	own := commands(ref)
	if len(own) == 0 {
		return nil
	}
	list, err := release.Runs(now, to)
	if err != nil {
		return nil //nolint:nilerr // nothing was promoted to it yet, or Promote tells
	}
	for _, e := range list {
		if e.App == ref.App {
			continue
		}
		if name := appfile.SameCommand(own, commands(e.Ref())); name != "" {
			return errs.Hint(errs.Errorf(errs.Conflict, "%s: its command %s is one of %s already, which channel %s runs", ref, name, e.Ref(), to),
				"give one of them another name in commands: of its %s, or promote to another channel", appfile.FileName)
		}
	}
	return nil
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

// PlanReturn returns what GoBack would do, and who may: the signers of channel ch. app may be "" when
// the channel runs one application.
func (p *Operator) PlanReturn(ctx context.Context, ch release.Channel, app string) (*release.Return, []trust.KeyInfo, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, nil, err
	}
	if app, err = theApp(ctx, repo, ch, app); err != nil {
		return nil, nil, err
	}
	now, err := repo.Read(ctx)
	if err != nil {
		return nil, nil, err
	}
	known, err := p.keys.List()
	if err != nil {
		return nil, nil, err
	}
	info, err := now.Show(known)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(info.Roles, func(r repository.RoleInfo) bool { return r.Role == release.FallbackRole(ch) })
	if i < 0 {
		return nil, nil, repository.NoFallback(release.FallbackRole(ch))
	}
	plan, err := release.PlanReturn(now, ch, app)
	return plan, info.Roles[i].Keys, err
}

// GoBack signs, with one signature, that a channel returns to its fallback: what PlanReturn has shown.
func (p *Operator) GoBack(ctx context.Context, plan *release.Return) error {
	repo, err := p.Repository(ctx)
	if err != nil {
		return err
	}
	return release.GoBack(ctx, repo, plan)
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

// Running is what a channel says about one application, and whether nodes believe it.
type Running struct {
	release.Entry
	Problem string   // why nodes keep what they run of it; "" = they run what the channel says
	BackBy  []string // names of those who returned it alone to its fallback; none = it stands on its promotion
}

// Channel returns what channel ch runs, sorted by application, and since when. An unknown channel
// is an error of kind NotFound that lists those there are.
func (p *Operator) Channel(ctx context.Context, ch release.Channel) ([]Running, error) {
	now, err := p.Signed(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := runs(now, ch); err != nil {
		return nil, err
	}
	shown, err := release.Show(ctx, now, ch)
	if err != nil {
		return nil, err
	}
	judged, refused, err := release.Judge(now, ch, p.o.Clock.Or()())
	if err != nil {
		return nil, err
	}
	var list []Running
	known, err := p.keys.List()
	if err != nil {
		return nil, err
	}
	for _, e := range shown {
		r := Running{Entry: e}
		if i := slices.IndexFunc(judged, func(j release.Entry) bool { return j.App == e.App }); i >= 0 && judged[i].Back != nil {
			r.Entry, r.BackBy = judged[i], approval.Names(known, judged[i].Back.By)
			r.Since = r.Back.At
		} else if i >= 0 && judged[i].Doubt != nil {
			r.Doubt = judged[i].Doubt
		}
		list = append(list, r)
	}
	for _, r := range refused {
		i := slices.IndexFunc(list, func(e Running) bool { return e.App == r.App })
		if i < 0 { // the channel's own statement cannot be read
			i, list = len(list), append(list, Running{Entry: r.Entry})
		}
		list[i].Problem = printer.Error(r.Err)
	}
	return list, nil
}

// Returned returns, for people, which applications stand on the fallback of their channel by now, and
// who returned them: the channel's role and a sentence. known are the keys whose names are shown.
func (p *Operator) Returned(now *repository.State, known []trust.KeyInfo) []doctor.Returned {
	var out []doctor.Returned
	for _, name := range channels(now) {
		list, _, err := release.Judge(now, release.Channel(name), p.o.Clock.Or()())
		if err != nil {
			continue // channel show says what is wrong with it
		}
		for _, e := range list {
			if e.Back != nil {
				what := fmt.Sprintf("%s stands on its fallback %s: %s was undone by %s alone",
					e.App, e.Version, e.Back.Undone.Version, strings.Join(approval.Names(known, e.Back.By), ", "))
				out = append(out, doctor.Returned{Role: release.Channel(name).Role(), What: what})
			}
		}
	}
	return out
}

// Removed is an application that was taken out of a channel.
type Removed struct {
	release.Entry // what the channel ran
	Channel       release.Channel
	Left          int // applications that it still runs, the agent counted
}

// Remove signs that channel ch no longer runs app.
func (p *Operator) Remove(ctx context.Context, app string, ch release.Channel) (*Removed, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return nil, err
	}
	now, err := repo.Read(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := runs(now, ch); err != nil {
		return nil, err
	}
	was, left, err := release.Remove(ctx, repo, app, ch)
	if err != nil {
		return nil, err
	}
	return &Removed{Entry: was, Channel: ch, Left: left}, nil
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
