package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"overland/internal/appfile"
	"overland/internal/builder"
	"overland/internal/builder/command"
	"overland/internal/builder/golang"
	"overland/internal/builder/image"
	"overland/internal/builder/packages"
	"overland/internal/builder/rootfs"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/operator/holdings"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/session"
	"overland/internal/store"
)

// BuildOptions say what to build; the zero value builds HEAD of the
// current folder for all its platforms.
type BuildOptions struct {
	Source    SourceOptions
	Platforms []platform.Platform // empty = what overland.yaml says
	Only      bool                // call it as a release for Platforms alone is called
	Images    image.Given         // images that differ from what overland.yaml says
	Parallel  int                 // programs built at once; 0 = 1
	Rebuild   bool                // also what was built before, which must come out the same; in a session always
	// NetworkCache is a file with a section [networkcache]: the binary cache that results
	// are taken from and shared with. "" = networkcache.cfg in the site directory, when it
	// is there; NoNetworkCache = none.
	NetworkCache string

	artifacts []string // these alone; empty = all
	known     bool     // as in the builder.Request
}

// Built is what a build made: all of it is in the depot.
type Built struct {
	Ref      release.Ref
	Source   *Source
	Programs []builder.Built
	Took     time.Duration
}

// Build builds one commit. What was built before is not built again.
func (p *Operator) Build(ctx context.Context, o BuildOptions) (*Built, error) {
	src, err := p.source(ctx, o.Source)
	if err != nil {
		return nil, err
	}
	if o.Only {
		src.only(o.Platforms)
	}
	if src.App.Artifacts, err = o.Images.Apply(src.App.Artifacts); err != nil {
		return nil, err
	}
	return p.build(ctx, src, o)
}

func (p *Operator) build(ctx context.Context, src *Source, o BuildOptions) (*Built, error) {
	start := time.Now()
	if err := p.noteLock(src); err != nil {
		return nil, err
	}
	ref := release.Ref{App: src.App.Name, Version: src.Commit.Version}
	files, err := src.files(ctx)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", ref, err)
	}
	if len(o.artifacts) > 0 {
		files = nil // of services
	}
	shared, done, err := p.shared(o, src)
	if err != nil {
		return nil, err
	}
	defer done()
	goCache, commandCache := home.GoCache.In(p.dir), home.CommandCache.In(p.dir)
	if p.o.Compiled != "" {
		goCache, commandCache = filepath.Join(p.o.Compiled, "go-build"), filepath.Join(p.o.Compiled, "command")
	}
	programs, err := builder.Run(ctx, p.depot, builder.Request{
		Repo:      src.Repo,
		Commit:    src.Commit,
		App:       src.App,
		Artifacts: o.artifacts,
		Known:     o.known,
		Platforms: o.Platforms,
		Builders: map[string]builder.Builder{
			golang.Key:   golang.New(golang.Options{Cache: goCache, Env: p.env(), Isolation: src.isolation}),
			command.Key:  p.commands(src, commandCache),
			image.Key:    image.New(image.Options{Store: p.depot, Cache: filepath.Join(p.cacheDir(), "layers"), FS: p.o.FS}),
			packages.Key: packages.New(p.depot),
			rootfs.Key:   rootfs.New(rootfs.Options{Store: p.depot, Env: p.env()}),
		},
		Cache:    p.cacheDir(),
		Parallel: o.Parallel,
		Rebuild:  o.Rebuild || session.Kind(p.env()) != "", // what is not built asks for no inputs
		Fresh:    o.Rebuild,
		Shared:   shared,
		Progress: p.say.Progress,
		Note:     p.say.Warn,
		FS:       p.o.FS,
	})
	if err == nil {
		err = runnable(src.App, programs)
	}
	if err == nil {
		programs, err = p.addFiles(ctx, files, programs)
	}
	for _, made := range programs {
		for _, d := range append([]digest.Digest{made.Digest}, made.Parts...) {
			if err == nil && d != "" {
				err = p.keep(d)
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", ref, err)
	}
	return &Built{Ref: ref, Source: src, Programs: programs, Took: time.Since(start)}, nil
}

// noteLock notes that the blobs of the lock in src's folder stay.
func (p *Operator) noteLock(src *Source) error {
	path, err := filepath.Abs(filepath.Join(src.Repo.Dir(), lockfile.Name))
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return holdings.Note(p.dir, path, p.o.FS)
}

// keep touches blob d, which is about to be named: what a collection has just removed is an error.
func (p *Operator) keep(d digest.Digest) error {
	err := p.depot.Touch(d)
	if errors.Is(err, store.ErrNotFound) {
		return errs.Hint(errs.Errorf(errs.Conflict, "a collection has removed %s meanwhile: %w", d, err), "do it again: it is built anew")
	}
	return err
}

// runnable returns an error when a service or a person would run an artifact that is not a program.
func runnable(app *appfile.App, made []builder.Built) error {
	for _, name := range slices.Sorted(maps.Keys(app.Services)) {
		for _, a := range made {
			if a.Name == app.Services[name].Artifact && a.Data {
				return notProgram("service "+name, a.Name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(app.Commands)) {
		for _, a := range made {
			if a.Name == app.Commands[name] && (a.Data || a.Image) {
				return notProgram("command "+name, a.Name)
			}
		}
	}
	return nil
}

func notProgram(what, artifact string) error {
	return errs.Hint(errs.Errorf(errs.Invalid, "%s runs %s, which is not a program: its output may not be executed", what, artifact),
		"the command must make it executable (chmod +x)")
}

// Release returns b as a release document, ready for release.Write.
func (b *Built) Release() release.Release {
	r := release.Release{
		App: b.Ref.App, Version: b.Ref.Version,
		Commit: b.Source.Commit.Hash, CommitTime: b.Source.Commit.Time,
		Spec: b.Source.specDigest(), Services: b.Source.App.Services, Commands: b.Source.App.Commands,
	}
	for _, a := range b.Programs {
		if b.Source.App.Artifacts[a.Name].Builder == golang.Key {
			r.Toolchain = a.Toolchain
		}
		kind := release.KindBinary
		switch {
		case a.Image:
			kind = release.KindImage
		case b.Source.App.Artifacts[a.Name].Builder == packages.Key:
			kind = release.KindPackage
		case a.Data:
			kind = release.KindFile
		}
		r.Artifacts = append(r.Artifacts, release.Artifact{
			Name: a.Name, Platform: a.Platform, File: a.File, Kind: kind, Blob: release.Blob{Digest: a.Digest, Size: a.Size}, Isolation: string(a.Isolation),
		})
	}
	return r
}
