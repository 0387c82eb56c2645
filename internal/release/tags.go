package release

import (
	"context"
	"errors"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// What follows the name of a release in the other tags that belong to it; no release can have such a name.
const (
	inputsSuffix     = "+inputs"
	provenanceSuffix = "+provenance"
	heldSuffix       = "+unsigned-"
)

// InputsTag returns the tag of ref's inputs in a depot.
func InputsTag(ref Ref) string { return ref.String() + inputsSuffix }

// ProvenanceTag returns the tag of the signed provenance of ref's artifacts in a depot.
func ProvenanceTag(ref Ref) string { return ref.String() + provenanceSuffix }

// holding returns the tag that keeps desc, to be named tag, in a depot until it is signed. It is
// desc's own: an attempt that is refused moves nothing that another one has named.
func holding(tag string, desc ocispec.Descriptor) string {
	const digits = 12
	_, hex, _ := strings.Cut(string(desc.Digest), ":")
	return tag + heldSuffix + hex[:min(digits, len(hex))]
}

// TagRef returns the release that the tag name in a depot belongs to; ok is false when it belongs to none.
func TagRef(name string) (ref Ref, ok bool) {
	name, _, _ = strings.Cut(name, heldSuffix)
	ref, err := ParseRef(strings.TrimSuffix(strings.TrimSuffix(name, inputsSuffix), provenanceSuffix))
	return ref, err == nil
}

// Draft is a release in a depot that is to be signed.
type Draft struct {
	Ref    Ref
	Index  ocispec.Descriptor  // what Write has returned
	Inputs *ocispec.Descriptor // what WriteInputs has returned; nil = none
}

// tags returns what d's tags stand for.
func (d Draft) tags() map[string]ocispec.Descriptor {
	m := map[string]ocispec.Descriptor{d.Ref.String(): d.Index}
	if d.Inputs != nil {
		m[InputsTag(d.Ref)] = *d.Inputs
	}
	return m
}

// Name gives d its tags in depot s and lets go of those that have held it: Publish does it for what
// is signed.
func (d Draft) Name(ctx context.Context, s store.Tags) error {
	for name, desc := range d.tags() {
		if err := s.Tag(ctx, name, desc); err != nil {
			return err
		}
	}
	return d.drop(ctx, s)
}

// drop removes the tags that hold d.
func (d Draft) drop(ctx context.Context, s store.Tags) error {
	for name, desc := range d.tags() {
		if err := s.Untag(ctx, holding(name, desc)); err != nil {
			return err
		}
	}
	return nil
}

// named gives d, which is signed or waits for signatures, its tags; refused says how signing ended.
func (d Draft) named(ctx context.Context, s store.Tags, refused error) error {
	if refused == nil || errs.KindOf(refused) == errs.Partial {
		if err := d.Name(ctx, s); err != nil {
			return errors.Join(refused, err)
		}
		return refused
	}
	if err := d.drop(context.WithoutCancel(ctx), s); err != nil {
		return refused // a collection drops them, later
	}
	return refused
}

// provenancePrefix begins the names of provenance among the metadata of a volume, where no role has such a name: an agent
// asks for roles alone.
const provenancePrefix = "provenance."

// ProvenanceFile returns how the signed provenance d is called among the metadata of a volume.
func ProvenanceFile(d digest.Digest) string { return provenancePrefix + d.Encoded() + ".json" }

// IsProvenance reports whether the metadata name of a volume is such a file, and no role.
func IsProvenance(name string) bool { return strings.HasPrefix(name, provenancePrefix) }
