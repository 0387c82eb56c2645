package release

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/store"
)

// Write puts release r into depot s and returns the descriptor of its OCI index. A tag of its own
// holds it there until Publish names it "APP@VERSION". The artifacts' blobs must be in s. Blob.Chunks
// and Manifest are made here; Schema and the artifacts' order too. The same r gives the same bytes.
// A release that cannot be used is an error of kind Invalid.
func Write(ctx context.Context, s store.Store, r Release) (ocispec.Descriptor, error) {
	desc, err := write(ctx, s, r)
	if err != nil {
		return desc, fmt.Errorf("write release %s: %w", r.Ref(), err)
	}
	return desc, nil
}

func write(ctx context.Context, s store.Store, r Release) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	r.Schema = Schema
	r.CommitTime = r.CommitTime.UTC().Truncate(time.Second)
	r.Artifacts = slices.Clone(r.Artifacts)
	slices.SortFunc(r.Artifacts, compare)
	if r.Inputs != nil {
		d := plain(*r.Inputs) // not what a depot's tag adds to it
		r.Inputs = &d
	}
	for i := range r.Artifacts {
		if err := chunk(ctx, s, &r.Artifacts[i].Blob); err != nil {
			return none, err
		}
	}
	if err := r.check(); err != nil {
		return none, errs.E(errs.Invalid, err)
	}
	if _, err := store.PutBytes(ctx, s, empty.Data); err != nil {
		return none, err
	}
	index := ocispec.Index{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageIndex,
		Annotations: annotations(r),
	}
	doc, err := putJSON(ctx, s, TypeRelease, r)
	if err != nil {
		return none, err
	}
	m, err := putManifest(ctx, s, TypeRelease, doc)
	if err != nil {
		return none, err
	}
	m.Annotations = map[string]string{AnnotationRelease: marked}
	index.Manifests = append(index.Manifests, m)
	for _, a := range r.Artifacts {
		m := a.image()
		if a.Kind != KindImage {
			if m, err = putManifest(ctx, s, TypeBinary, a.layers()...); err != nil {
				return none, err
			}
		}
		m.Platform = a.Platform.OCI()
		m.Annotations = map[string]string{AnnotationArtifact: a.Name}
		index.Manifests = append(index.Manifests, m)
	}
	desc, err := putJSON(ctx, s, ocispec.MediaTypeImageIndex, index)
	if err != nil {
		return none, err
	}
	return desc, s.Tag(ctx, holding(r.Ref().String(), desc), desc)
}

// chunk makes the list of b's chunks when b is long enough to have one.
func chunk(ctx context.Context, s store.Store, b *Blob) error {
	f, err := s.Open(ctx, b.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Size() != b.Size {
		return errs.Errorf(errs.Invalid, "%s: %d bytes, not %d", b.Digest, f.Size(), b.Size)
	}
	b.Chunks = ""
	if b.Size <= store.ChunkSize {
		return nil
	}
	list, err := store.Chunks(f)
	if err != nil {
		return err
	}
	b.Chunks, err = store.PutBytes(ctx, s, list)
	return err
}

func annotations(r Release) map[string]string {
	m := map[string]string{AnnotationRelease: marked, ocispec.AnnotationTitle: r.App, ocispec.AnnotationVersion: r.Version}
	if r.Commit != "" {
		m[ocispec.AnnotationRevision] = r.Commit
	}
	if !r.CommitTime.IsZero() {
		m[ocispec.AnnotationCreated] = r.CommitTime.Format(time.RFC3339)
	}
	return m
}

func putManifest(ctx context.Context, s store.Store, artifactType string, layers ...ocispec.Descriptor) (ocispec.Descriptor, error) {
	return putJSON(ctx, s, ocispec.MediaTypeImageManifest, manifest(artifactType, layers...))
}

func manifest(artifactType string, layers ...ocispec.Descriptor) ocispec.Manifest {
	return ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType,
		Config:       plain(empty),
		Layers:       layers,
	}
}

func putJSON(ctx context.Context, s store.Store, mediaType string, v any) (ocispec.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if len(b) > maxJSON {
		return ocispec.Descriptor{}, errs.Errorf(errs.Invalid, "%s: longer than %d bytes", mediaType, maxJSON)
	}
	_, err = store.PutBytes(ctx, s, b)
	return describe(mediaType, b), err
}
