package operator

import (
	"context"

	"overland/internal/platform"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// What the tests know of the inside.

// Options returns what p was opened with.
func (p *Operator) Options() Options { return p.o }

// Warn says text as a job of p does.
func (p *Operator) Warn(text string) { p.say.Warn(text) }

// Watch puts what with returns in the place of the signed metadata's files, before they are read.
func (p *Operator) Watch(with func(repository.Files) repository.Files) {
	p.files, p.repo = with(p.files), nil
}

// Content returns what Seal would put into a volume, for a test to forge.
func (p *Operator) Content(ctx context.Context, o SealOptions) (volume.Content, error) {
	repo, err := p.Repository(ctx)
	if err != nil {
		return volume.Content{}, err
	}
	return (&sealed{Operator: p, repo: repo, o: o, s: &Sealed{Channel: o.Channel}}).content(ctx)
}

// Volume returns the volume that o reads.
func (o *Opened) Volume() *volume.Volume { return o.v }

var (
	Shared      = (*Operator).shared
	EnsureTrust = (*Operator).ensureTrust
	Files       = (*Source).files
	AddFiles    = (*Operator).addFiles
	Unlike      = unlike
)

// Only is only.
func (s *Source) Only(platforms []platform.Platform) { s.only(platforms) }
