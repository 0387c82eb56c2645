package operator

import (
	"context"
	"fmt"
	"slices"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/provenance"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/volume"
)

// addProvenance adds to c what is signed of how the artifacts in it were built, among the metadata: one file a statement. A
// release without it has none there; what does not hold is left out, with a warning.
func (w *sealed) addProvenance(ctx context.Context, c *volume.Content) error {
	now, err := w.repo.Read(ctx)
	if err != nil {
		return err
	}
	held := map[digest.Digest]bool{}
	for _, b := range c.Blobs {
		held[b.Digest] = true
	}
	for _, e := range w.s.Entries {
		if err := w.addProvenanceOf(ctx, now, e, held, c.Trust); err != nil {
			return err
		}
	}
	return nil
}

func (w *sealed) addProvenanceOf(
	ctx context.Context, now *repository.State, e release.Entry, held map[digest.Digest]bool, to map[string][]byte,
) error {
	list, err := w.signedProvenance(ctx, now, e.Ref(), e.Digest)
	switch k := errs.KindOf(err); {
	case k == errs.NotFound:
		return nil
	case k == errs.Untrusted:
		w.s.Warnings = append(w.s.Warnings, fmt.Sprintf("how %s was built is left out: %v", e.Ref(), err))
		return nil
	case err != nil:
		return err
	}
	kept := map[string]bool{} // artifacts of which one platform at least is in the volume
	for _, m := range list {
		if held[m.Subject.Digest] {
			kept[m.Artifact] = true
		}
	}
	for _, m := range list {
		if held[m.Subject.Digest] || m.Platform == "" && kept[m.Artifact] {
			to[release.ProvenanceFile(digest.Of(m.Bundle))] = m.Bundle
		}
	}
	return nil
}

// sealedProvenance returns what v holds of how its releases were built, by release, verified with the keys that signed says
// may release. Anything else under such a name is errs.Untrusted.
func sealedProvenance(ctx context.Context, v *volume.Volume, signed *inspect.Verified) (map[release.Ref][]Provenance, error) {
	out := map[release.Ref][]Provenance{}
	for _, name := range v.MetadataNames() {
		if !release.IsProvenance(name) {
			continue
		}
		text, err := v.Metadata(ctx, name, provenance.Limit)
		if err != nil {
			return nil, err
		}
		ref, one, err := about(ctx, text, signed)
		if err != nil {
			return nil, fmt.Errorf("%s: trust/%s: %w", v.Name(), name, err)
		}
		out[ref] = append(out[ref], one)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b Provenance) int { return slices.Compare(a.order(), b.order()) })
	}
	return out, nil
}

func (p Provenance) order() []string {
	return []string{p.Artifact, string(p.Platform), string(p.Digest)}
}

// about returns which release of signed the bundle text is about, and the statement in it.
func about(ctx context.Context, text []byte, signed *inspect.Verified) (release.Ref, Provenance, error) {
	for _, r := range signed.Releases {
		s, key, err := provenance.Verify(text, signed.SignerKeys(r.App))
		if err != nil {
			continue // it may be another application's
		}
		want, err := wantedOf(ctx, r)
		if err != nil {
			return release.Ref{}, Provenance{}, err
		}
		said := s.Predicate.BuildDefinition.ExternalParameters
		for _, w := range want {
			m := provenance.Made{Artifact: w.name, Platform: w.platform, Subject: w.subject, Bundle: text}
			if w.name != said.Artifact || string(w.platform) != said.Platform {
				continue
			}
			one, err := w.verified([]provenance.Made{m}, []trust.PublicKey{key}, r)
			if err == nil {
				return r.Ref(), one, nil
			}
		}
	}
	return release.Ref{}, Provenance{}, errs.Errorf(errs.Untrusted, "it is not how anything in this volume was built, signed by who may release that")
}

// ProvenanceFile returns what a volume holds of how the release in it was built, verified. Every byte of the file and its
// signatures are checked before. Without any the error is of kind NotFound.
func ProvenanceFile(ctx context.Context, f FileOptions) (_ release.Ref, _ []Provenance, err error) {
	v, e, all, err := openExplained(ctx, f)
	if err != nil {
		return release.Ref{}, nil, err
	}
	list := all[e.Ref()]
	if err := v.Close(); err != nil {
		return release.Ref{}, nil, err
	}
	if len(list) == 0 {
		return release.Ref{}, nil, errs.Hint(errs.Errorf(errs.NotFound, "%s does not say how %s was built", v.Name(), e.Ref()),
			"overland provenance %s, where the key is, and seal again without --bare", e.Ref())
	}
	return e.Ref(), list, nil
}
