package operator

import (
	"context"
	"errors"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/sbom"
	"overland/internal/trust"
	"overland/internal/volume"
)

// SBOM returns what a signed release is made of.
func (p *Operator) SBOM(ctx context.Context, ref release.Ref, o sbom.Options) (*sbom.Document, error) {
	_, d, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return sbom.Of(ctx, inspect.Depot{Blobs: p.depot}, d, o)
}

// FileOptions say which release of a volume is looked into.
type FileOptions struct {
	Path     string
	Root     trust.Fingerprint // the chain of signatures must begin here; "" = where the file itself says
	App      string            // "" = the only application in it
	Progress func(progress.Event)
}

// SBOMFile returns what a release in a volume is made of, as far as it is in it. Every byte of the file and its signatures are
// checked before.
func SBOMFile(ctx context.Context, f FileOptions, o sbom.Options) (_ *sbom.Document, err error) {
	v, e, err := openSealed(ctx, f)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	o.Present = len(o.Platforms) == 0
	return sbom.Of(ctx, v, e.Digest, o)
}

// openSealed checks a volume and returns which release of f.App it holds. The caller closes the volume.
func openSealed(ctx context.Context, f FileOptions) (*volume.Volume, release.Entry, error) {
	v, e, _, err := openExplained(ctx, f)
	return v, e, err
}

// openExplained is openSealed that also returns how the releases in the volume were built, as far as it says that.
func openExplained(ctx context.Context, f FileOptions) (_ *volume.Volume, e release.Entry, how map[release.Ref][]Provenance, err error) {
	v, err := openWhole(ctx, f.Path, f.Progress)
	if err != nil {
		return nil, e, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.Close())
		}
	}()
	root := f.Root
	if root == "" {
		s, err := inspect.Roles(ctx, v)
		if err != nil {
			return nil, e, nil, err
		}
		root = trust.Fingerprint(s.Fingerprint)
	}
	signed, err := inspect.Verify(ctx, v, root, time.Time{})
	if err != nil {
		return nil, e, nil, err
	}
	if how, err = sealedProvenance(ctx, v, signed); err != nil {
		return nil, e, nil, err
	}
	var names []string
	for _, one := range signed.Entries {
		if f.App == "" && one.App == release.AgentApp || f.App != "" && one.App != f.App {
			continue
		}
		e = one
		names = append(names, one.App)
	}
	switch len(names) {
	case 1:
		return v, e, how, nil
	case 0:
		return nil, e, nil, errs.Hint(errs.Errorf(errs.NotFound, "%s holds no application %q", v.Name(), f.App), "overland inspect %s", v.Name())
	}
	return nil, e, nil, errs.Hint(errs.Errorf(errs.Invalid, "%s holds %d applications: which one?", v.Name(), len(names)), "--app %s", strings.Join(names, ", --app "))
}
