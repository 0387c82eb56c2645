package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/release"
	"overland/internal/source"
)

// Unlike returns what the release says and the overland.yaml of its commit does not, a line each: what
// a service may do and which arguments it has are no bytes of an artifact, so no build compares them.
// It is known when Unpack has ended.
func (o *Opened) Unlike() []string { return o.unlike }

// unlike returns Unlike for the release r of commit c.
func unlike(ctx context.Context, r *release.Release, repo *source.Repo, c source.Commit) ([]string, error) {
	text, err := repo.ReadFile(ctx, c, appfile.FileName)
	if err != nil {
		return []string{fmt.Sprintf("its commit has no %s that can be read: %v", appfile.FileName, err)}, ctx.Err()
	}
	var list []string
	differs := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if d := digest.Of(text); d != r.Spec {
		differs("it was made of another %s: %s, its commit has %s", appfile.FileName, r.Spec, d)
	}
	app, err := AppFile().Parse(text, appfile.FileName)
	if err != nil {
		differs("the %s of its commit is not one for this program: %v", appfile.FileName, err)
		return list, nil
	}
	if app.Name != r.App {
		differs("its commit calls the application %s", app.Name)
	}
	if !c.Time.Equal(r.CommitTime) {
		differs("its commit is of %s, not of %s", c.Time, r.CommitTime)
	}
	if err := eachUnlike(app.Services, r.Services, func(name string) { differs("service %s is not as its commit says", name) }); err != nil {
		return nil, err
	}
	if err := eachUnlike(app.Commands, r.Commands, func(name string) { differs("command %s is not as its commit says", name) }); err != nil {
		return nil, err
	}
	called := map[string]string{} // file of the commit → its name on a node
	for _, s := range app.Services {
		for name, from := range s.Files {
			called[name] = path.Base(from)
		}
	}
	for _, a := range r.Artifacts {
		want, ok := called[a.Name]
		if _, made := app.Artifacts[a.Name]; made {
			want, ok = a.File, true // a package has a name of its own, and no node fetches it
			if a.Kind == release.KindBinary {
				want = a.Name
			}
		}
		if !ok || a.File != want {
			differs("artifact %s for %s is the file %s: its commit says otherwise", a.Name, a.Platform, a.File)
		}
	}
	return list, nil
}

// eachUnlike calls differs with the names, in order, for which a and b have other values.
func eachUnlike[T any](a, b map[string]T, differs func(name string)) error {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]T{}
	}
	maps.Copy(all, b)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		x, here := a[name]
		y, there := b[name]
		one, err := json.Marshal(x)
		if err != nil {
			return err
		}
		other, err := json.Marshal(y)
		if err != nil {
			return err
		}
		if here != there || string(one) != string(other) {
			differs(name)
		}
	}
	return nil
}
