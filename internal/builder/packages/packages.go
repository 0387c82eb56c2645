package packages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/deflate"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/store"
)

// Name is this builder and the version of how it builds. Whatever changes the bytes of a result changes it.
const Name = "package/1"

// Builder makes packages. It is safe for concurrent use.
type Builder struct{ depot store.Opener }

// New returns a Builder of what is in depot.
func New(depot store.Opener) *Builder { return &Builder{depot} }

var _ builder.Composer = (*Builder)(nil)

// settings is the part of a recipe that is this builder's own.
type settings struct {
	Package Package                  `json:"package"`
	Needs   map[string]digest.Digest `json:"needs,omitempty"` // what the artifacts are that it is made of
	// The package says these of itself.
	Name, Version, Architecture, Commit string
	Time                                int64
}

// Needs returns the names of the artifacts that a is made of.
func (b *Builder) Needs(a appfile.Artifact) []string {
	p, ok := a.Settings.(*Package)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	for _, f := range p.Files {
		if f.Artifact != "" {
			names[f.Artifact] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Recipe returns what decides the bytes of j.
func (b *Builder) Recipe(_ context.Context, j builder.Job) (builder.Recipe, error) {
	p, ok := j.Artifact.Settings.(*Package)
	if !ok {
		return builder.Recipe{}, errs.Errorf(errs.Invalid, "artifact %s has no key package", j.Name)
	}
	s := settings{Package: *p, Needs: map[string]digest.Digest{}, Name: p.called(j.Name), Commit: j.Commit.Hash, Time: j.Commit.Time.Unix()}
	var err error
	if s.Architecture, err = architecture(j.Platform); err == nil {
		s.Version, err = Version(j.Commit)
	}
	if err != nil {
		return builder.Recipe{}, err
	}
	for name, of := range j.Needs {
		if of.Image {
			return builder.Recipe{}, errs.Errorf(errs.Invalid, "artifact %s is made of %s, which is an image: name what is in it", j.Name, name)
		}
		s.Needs[name] = of.Digest
	}
	return builder.Recipe{Builder: Name, Toolchain: deflate.Encoder, Settings: s}, nil
}

// Build makes the package of j. What cannot be in one is an Invalid error.
func (b *Builder) Build(ctx context.Context, j builder.Job, r builder.Recipe, src, scratch string) (out builder.Output, err error) {
	s, ok := r.Settings.(settings)
	if !ok {
		return out, fmt.Errorf("recipe of another builder: %s", r.Builder)
	}
	j.Progress(builder.StepCompile, "pack "+s.Name)
	root, err := os.OpenRoot(src)
	if err != nil {
		return out, err
	}
	defer root.Close()
	m := &making{ctx: ctx, depot: b.depot, job: j, settings: s, root: root, time: time.Unix(s.Time, 0).UTC()}
	list, err := m.members()
	if err != nil {
		return out, err
	}
	out = builder.Output{File: filepath.Join(scratch, "package"), Data: true, Toolchain: r.Toolchain, Called: s.Name + "_" + s.Version + "_" + s.Architecture + ".deb"}
	spool, err := os.Create(filepath.Join(scratch, "data"))
	if err != nil {
		return out, err
	}
	defer spool.Close()
	f, err := os.Create(out.File)
	if err != nil {
		return out, err
	}
	return out, errors.Join(m.deb(list).Write(f, spool), f.Close())
}

// architecture returns what Debian calls p.
func architecture(p platform.Platform) (string, error) {
	if name := architectures[p]; name != "" {
		return name, nil
	}
	return "", errs.Hint(errs.Errorf(errs.Invalid, "Debian has no architecture for %s: its armhf is for arm/v7, and what runs on a v6 is its armel", p),
		"name linux/arm/v5 in platforms: its package is armel, and runs on a v6 too")
}

// architectures are Debian's. Its armel is for every ARM from v5 on, so a program for v6 has no place of its own: as
// armhf it would be taken for one with v7's instructions, and as armel be another package of the same name and version.
var architectures = map[platform.Platform]string{
	"linux/amd64": "amd64", "linux/arm64": "arm64", "linux/arm/v7": "armhf", "linux/arm/v5": "armel",
}
