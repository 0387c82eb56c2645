package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/store"
)

// file is one of the commit that a service has on nodes.
type file struct {
	path      string // in the commit
	text      []byte
	platforms []platform.Platform // of the services that have it
}

// files reads what the services of src have of the commit, by name: before minutes go into a build.
func (s *Source) files(ctx context.Context) (map[string]*file, error) {
	list := map[string]*file{}
	for _, service := range slices.Sorted(maps.Keys(s.App.Services)) {
		spec := s.App.Services[service]
		for _, name := range slices.Sorted(maps.Keys(spec.Files)) {
			f := list[name]
			if f == nil {
				f = &file{path: spec.Files[name]}
				var err error
				if f.text, err = s.file(ctx, f.path); err != nil {
					return nil, fmt.Errorf("service %s: files: %s: %w", service, name, err)
				}
				list[name] = f
			}
			f.platforms = append(f.platforms, s.App.Artifacts[spec.Artifact].Platforms...)
			if len(s.App.Artifacts[spec.Artifact].Platforms) == 0 {
				f.platforms = platform.All()
			}
		}
	}
	return list, nil
}

func (s *Source) file(ctx context.Context, name string) ([]byte, error) {
	b, err := s.Repo.ReadRegular(ctx, s.Commit, name, appfile.MaxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "%s is not in %s", name, s.Commit.Version), "commit it, or mend its path in overland.yaml")
	case err == nil && len(b) == 0:
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s is empty", name), "leave it out, or put a comment into it")
	}
	return b, err
}

// addFiles puts files into the depot, and returns made with them: each for the platforms for which
// a service that has it was made.
func (p *Operator) addFiles(ctx context.Context, files map[string]*file, made []builder.Built) ([]builder.Built, error) {
	var built []platform.Platform
	for _, b := range made {
		built = append(built, b.Platform)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f := files[name]
		d, err := store.PutBytes(ctx, p.depot, f.text)
		if err != nil {
			return nil, err
		}
		for _, plat := range platform.All() {
			if slices.Contains(built, plat) && slices.Contains(f.platforms, plat) {
				made = append(made, builder.Built{
					Name: name, Platform: plat, File: path.Base(f.path), Data: true, Digest: d, Size: int64(len(f.text)), Cached: true,
				})
			}
		}
	}
	return made, nil
}
