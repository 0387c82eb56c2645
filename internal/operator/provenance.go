package operator

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/deflate"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/platform"
	"overland/internal/provenance"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/store/mem"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

// Provenance is what is signed of how one artifact of a release was built.
type Provenance struct {
	provenance.Made
	Digest    digest.Digest // of the artifact: a program, an image's manifest or its index
	Statement *provenance.Statement
	Key       trust.PublicKey // that has signed it
}

// Provenance returns what is signed of how each artifact of ref was built, verified. What is missing, or signed by a key that
// may not release any more, is signed now; without a key for that the error is of kind Denied.
func (p *Operator) Provenance(ctx context.Context, ref release.Ref) ([]Provenance, error) {
	now, d, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	list, err := p.signedProvenance(ctx, now, ref, d)
	if err == nil || errs.KindOf(err) != errs.NotFound && errs.KindOf(err) != errs.Untrusted {
		return list, err
	}
	if err := p.signProvenance(ctx, now, ref, d); err != nil {
		return nil, err
	}
	return p.signedProvenance(ctx, now, ref, d)
}

// wanted is an artifact that provenance is about.
type wanted struct {
	name, file, isolation string
	platform              platform.Platform // "" = an index of all
	digest                digest.Digest
	subject               ocispec.Descriptor
}

// wantedOf returns what there is to say of r: each artifact, and of each image its index of all platforms.
func wantedOf(ctx context.Context, r *release.Release) ([]wanted, error) {
	var list []wanted
	images := map[string][]ocispec.Descriptor{}
	var names []string
	for _, a := range r.Artifacts {
		subject := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: a.Manifest.Digest, Size: a.Manifest.Size}
		list = append(list, wanted{a.Name, a.File, a.Isolation, a.Platform, a.Blob.Digest, subject})
		if a.Kind == release.KindImage {
			if images[a.Name] == nil {
				names = append(names, a.Name)
			}
			images[a.Name] = append(images[a.Name], imageOf(a))
		}
	}
	for _, name := range names {
		index, err := image.PutIndex(ctx, new(mem.Store), images[name], nil) // for its digest: who pushes it writes it
		if err != nil {
			return nil, err
		}
		list = append(list, wanted{name: name, file: name, digest: index.Digest, subject: index})
	}
	return list, nil
}

// imageOf returns the descriptor of a, an image, as an index has it.
func imageOf(a release.Artifact) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: a.Blob.Digest, Size: a.Blob.Size, Platform: a.Platform.OCI()}
}

// signedProvenance returns the provenance of ref, the release d, in the depot. Incomplete it is errs.NotFound.
func (p *Operator) signedProvenance(ctx context.Context, now *repository.State, ref release.Ref, d digest.Digest) ([]Provenance, error) {
	r, err := release.Read(ctx, p.depot, d)
	if err != nil {
		return nil, err
	}
	want, err := wantedOf(ctx, r)
	if err != nil {
		return nil, err
	}
	made, err := provenance.Read(ctx, p.depot, ref)
	if err != nil {
		return nil, err
	}
	keys := now.SignerKeys(release.Role(ref.App))
	out := make([]Provenance, 0, len(want))
	for _, w := range want {
		one, err := w.verified(made, keys, r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.label(), err)
		}
		out = append(out, one)
	}
	return out, nil
}

func (w wanted) label() string {
	if w.platform == "" {
		return w.name + " for all platforms"
	}
	return fmt.Sprintf("%s for %s", w.name, w.platform)
}

// verified returns the one of made that is about w, an artifact of r, and was signed by one of keys.
func (w wanted) verified(made []provenance.Made, keys []trust.PublicKey, r *release.Release) (Provenance, error) {
	for _, m := range made {
		if m.Artifact != w.name || m.Platform != w.platform {
			continue
		}
		s, key, err := provenance.Verify(m.Bundle, keys)
		if err != nil {
			return Provenance{}, err
		}
		if !s.Covers(w.digest) || m.Subject.Digest != w.subject.Digest || !s.IsOf(r, w.name, string(w.platform), w.isolation) {
			return Provenance{}, errs.Errorf(errs.Untrusted, "its provenance is about something else")
		}
		return Provenance{Made: m, Digest: w.digest, Statement: s, Key: key}, nil
	}
	return Provenance{}, errs.Errorf(errs.NotFound, "no provenance is signed")
}

// signProvenance signs and stores the provenance of ref, the release d.
func (p *Operator) signProvenance(ctx context.Context, now *repository.State, ref release.Ref, d digest.Digest) error {
	r, err := release.Read(ctx, p.depot, d)
	if err != nil {
		return err
	}
	by, err := p.releaseSigner(now, ref.App)
	if err != nil {
		return err
	}
	about := provenance.About{
		Release: r, Repository: release.RepositoryOf(now, ref),
		Builder: provenance.NewBuilder(now.Fingerprint(), p.o.Version, deflate.Encoder),
	}
	if err := p.readLock(ctx, r, &about); err != nil {
		return err
	}
	want, err := wantedOf(ctx, r)
	if err != nil {
		return err
	}
	made := make([]provenance.Made, 0, len(want))
	for _, w := range want {
		subjects := []provenance.Subject{provenance.SubjectOf(w.file, w.digest)}
		if w.subject.Digest != w.digest { // registries hold a program as a layer of its manifest
			subjects = append(subjects, provenance.SubjectOf(w.file+" as an OCI artifact", w.subject.Digest))
		}
		bundle, err := provenance.Sign(about.Of(w.name, string(w.platform), w.isolation, subjects...), by)
		if err != nil {
			return err
		}
		made = append(made, provenance.Made{Artifact: w.name, Platform: w.platform, Subject: w.subject, Bundle: bundle})
	}
	return provenance.Write(ctx, p.depot, ref, made)
}

// readLock adds the lock of r, as far as the depot has it.
func (p *Operator) readLock(ctx context.Context, r *release.Release, about *provenance.About) error {
	if r.Inputs == nil {
		return nil
	}
	in, err := release.ReadInputs(ctx, p.depot, *r.Inputs)
	if err != nil {
		return err
	}
	about.LockDigest = in.Lock.Digest
	about.Lock, err = inspect.Lock(ctx, p.depot, in)
	return err
}

// releaseSigner returns the first key that may release app and that this machine can sign with.
func (p *Operator) releaseSigner(now *repository.State, app string) (trust.Signer, error) {
	var bad error
	for _, key := range now.SignerKeys(release.Role(app)) {
		s, err := p.keys.ByID(key.ID)
		if s != nil && err == nil {
			return s, nil
		}
		bad = errors.Join(bad, err)
	}
	if bad != nil {
		return nil, bad
	}
	return nil, errs.Hint(errs.Errorf(errs.Denied, "provenance of %s: this machine has none of the keys that may release it", app),
		"overland provenance, where the key is")
}
