package operator

import (
	"context"

	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/sbom"
)

// SBOM returns what a signed release is made of.
func (p *Operator) SBOM(ctx context.Context, ref release.Ref, o sbom.Options) (*sbom.Document, error) {
	_, d, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return sbom.Of(ctx, inspect.Depot{Blobs: p.depot}, d, o)
}
