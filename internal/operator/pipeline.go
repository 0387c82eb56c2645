package operator

import (
	"context"
	"path/filepath"

	"overland/internal/builder"
	"overland/internal/builder/command"
	"overland/internal/home"
	"overland/internal/platform"
)

// Dir returns the site directory.
func (p *Operator) Dir() string { return p.dir }

// Callbacks returns whom the calls of p reach.
func (p *Operator) Callbacks() Callbacks { return p.say }

// Source returns the commit that o names and what its overland.yaml says, after its warnings were told.
func (p *Operator) Source(ctx context.Context, o SourceOptions) (*Source, error) {
	return p.source(ctx, o)
}

// Commands returns what runs commands of src, in the same cells as its builds. They get nothing of what
// builds have left in caches, nor builds what they leave: a test must not change what is released.
func (p *Operator) Commands(src *Source) *command.Builder { return p.commands(src, "") }

// StepCaches returns the folder of what the steps of an application may leave for later ones, by the
// builder.Job's Folder.
func (p *Operator) StepCaches(folder string) string {
	caches := home.CommandCache.In(p.dir)
	if p.o.Compiled != "" {
		caches = filepath.Join(p.o.Compiled, "command")
	}
	return filepath.Join(caches, folder, "steps")
}

func (p *Operator) commands(src *Source, caches string) *command.Builder {
	return command.New(command.Options{
		Store: p.depot, Sessions: home.Sessions.In(p.dir), Caches: caches, Env: p.env(), Isolation: src.isolation,
	})
}

// Artifacts builds the artifacts called names for one platform. With known nothing is built, and what is
// not remembered has no Digest.
func (p *Operator) Artifacts(ctx context.Context, src *Source, names []string, at platform.Platform, parallel int, known bool) (*Built, error) {
	if len(names) == 0 {
		return &Built{Source: src, Programs: []builder.Built{}}, nil
	}
	return p.build(ctx, src, BuildOptions{artifacts: names, Platforms: []platform.Platform{at}, Parallel: parallel, known: known})
}
