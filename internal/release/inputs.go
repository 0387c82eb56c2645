package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// Media types of the inputs of a release.
const (
	TypeInputs = "application/vnd.overland.inputs.v1" // artifactType of their manifest
	TypeLock   = "application/vnd.overland.lock.v1"   // overland.lock
	TypeSource = "application/vnd.overland.source.v1" // the commit, a git pack
	TypeInput  = "application/vnd.overland.input.v1"  // one blob that the lock names
)

// inputsLayers is the most layers that one manifest of inputs has: with more of them, it would come
// too close to what registries accept.
const inputsLayers = 8000

// maxInputs is the most blobs that inputs name: as many as a lock has lines.
const maxInputs = 200_000

// Inputs is what a release was built from.
type Inputs struct {
	Lock   ocispec.Descriptor   // overland.lock
	Source ocispec.Descriptor   // the commit as source.Unpack reads it
	Blobs  []ocispec.Descriptor // what the lock names, each once, sorted by digest

	Documents []ocispec.Descriptor // the manifest, or the index and its manifests: filled by ReadInputs, made by WriteInputs
}

// All returns the descriptors of all blobs of in, documents first.
func (in *Inputs) All() []ocispec.Descriptor {
	return slices.Concat(in.Documents, []ocispec.Descriptor{plain(empty), in.Lock, in.Source}, in.Blobs)
}

// Size returns the bytes of all that in names, without the documents.
func (in *Inputs) Size() int64 {
	n := in.Lock.Size + in.Source.Size
	for _, b := range in.Blobs {
		n += b.Size
	}
	return n
}

// WriteInputs puts the list of inputs of release ref into depot s and returns its descriptor, for
// Release.Inputs. A tag holds it there, as with Write, until Publish names it "APP@VERSION+inputs".
// The blobs themselves need not be in s. The same inputs give the same bytes. Inputs that contradict
// themselves are an error of kind Invalid.
func WriteInputs(ctx context.Context, s store.Store, ref Ref, in Inputs) (ocispec.Descriptor, error) {
	desc, err := writeInputs(ctx, s, in)
	if err == nil {
		err = s.Tag(ctx, holding(InputsTag(ref), desc), desc)
	}
	if err != nil {
		return desc, fmt.Errorf("write inputs of %s: %w", ref, err)
	}
	return desc, nil
}

func writeInputs(ctx context.Context, s store.Store, in Inputs) (ocispec.Descriptor, error) {
	list, err := in.documents()
	if err != nil {
		return ocispec.Descriptor{}, errs.E(errs.Invalid, err)
	}
	for _, d := range list {
		if _, err := store.PutBytes(ctx, s, d.json); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	_, err = store.PutBytes(ctx, s, empty.Data)
	return list[0].desc, err
}

// inputsDocument is a manifest of inputs, or the index of several.
type inputsDocument struct {
	desc ocispec.Descriptor
	json []byte
}

// documents returns the only documents that in can have; the first one stands for all.
func (in *Inputs) documents() ([]inputsDocument, error) {
	layers := []ocispec.Descriptor{typed(TypeLock, in.Lock), typed(TypeSource, in.Source)}
	for _, b := range in.Blobs {
		layers = append(layers, typed(TypeInput, b))
	}
	if len(in.Blobs) > maxInputs {
		return nil, fmt.Errorf("%d inputs, at most %d", len(in.Blobs), maxInputs)
	}
	for i, l := range layers {
		if _, err := digest.Parse(string(l.Digest)); err != nil || l.Size < 0 {
			return nil, fmt.Errorf("%.100q of %d bytes: %w", string(l.Digest), l.Size, err)
		}
		if i > 2 && layers[i-1].Digest >= l.Digest {
			return nil, fmt.Errorf("%s: there twice, or out of order", l.Digest)
		}
	}
	var list []inputsDocument
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for part := range slices.Chunk(layers, inputsLayers) {
		d, err := document(ocispec.MediaTypeImageManifest, manifest(TypeInputs, part...))
		if err != nil {
			return nil, err
		}
		list = append(list, d)
		index.Manifests = append(index.Manifests, d.desc)
	}
	if len(list) == 1 {
		return list, nil
	}
	d, err := document(ocispec.MediaTypeImageIndex, index)
	return append([]inputsDocument{d}, list...), err
}

func document(mediaType string, v any) (inputsDocument, error) {
	b, err := json.Marshal(v)
	if err == nil && len(b) > store.ManifestLimit {
		err = fmt.Errorf("%s: longer than %d bytes", mediaType, store.ManifestLimit)
	}
	return inputsDocument{describe(mediaType, b), b}, err
}

func typed(mediaType string, d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: d.Digest, Size: d.Size}
}

// ReadInputs returns the inputs that desc, a Release's Inputs, stands for. Documents come from g,
// each at most store.ManifestLimit long. What WriteInputs would not write is an error of kind
// Untrusted; errors of g pass through.
func ReadInputs(ctx context.Context, g Getter, desc ocispec.Descriptor) (*Inputs, error) {
	layers, err := inputLayers(ctx, g, desc)
	if err != nil {
		return nil, fmt.Errorf("read inputs %s: %w", desc.Digest, err)
	}
	const fixed = 2 // the lock and the source
	if len(layers) < fixed {
		return nil, refuseInputs(desc, fmt.Errorf("%d layers", len(layers)))
	}
	in := &Inputs{Lock: plain(layers[0]), Source: plain(layers[1]), Blobs: layers[fixed:]}
	list, err := in.documents()
	if err != nil {
		return nil, refuseInputs(desc, err)
	}
	if d := list[0].desc; d.Digest != desc.Digest || d.Size != desc.Size {
		return nil, refuseInputs(desc, errors.New("not in the form that Overland writes"))
	}
	for _, d := range list {
		in.Documents = append(in.Documents, d.desc)
	}
	return in, nil
}

// inputLayers returns the layers of the manifest desc, or of all manifests of the index desc.
func inputLayers(ctx context.Context, g Getter, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	b, err := g.Bytes(ctx, desc.Digest, store.ManifestLimit)
	if err != nil {
		return nil, err
	}
	list, err := store.Children(desc.MediaType, b)
	if err != nil {
		return nil, err
	}
	if desc.MediaType != ocispec.MediaTypeImageIndex {
		return list[min(1, len(list)):], nil // without the config
	}
	if len(list) > maxInputs/inputsLayers+1 { // before they are read: the same one may be there again and again
		return nil, errs.Errorf(errs.Untrusted, "%d manifests of inputs", len(list))
	}
	var layers []ocispec.Descriptor
	for _, m := range list {
		if m.MediaType != ocispec.MediaTypeImageManifest {
			return nil, errs.Errorf(errs.Untrusted, "%.100q where a manifest belongs", m.MediaType)
		}
		more, err := inputLayers(ctx, g, m)
		if err != nil {
			return nil, err
		}
		layers = append(layers, more...)
	}
	return layers, nil
}

func refuseInputs(desc ocispec.Descriptor, err error) error {
	return errs.E(errs.Untrusted, fmt.Errorf("%s are not inputs that can be used: %w", desc.Digest, err))
}

// checkInputs refuses a descriptor that cannot stand for inputs.
func checkInputs(d ocispec.Descriptor) error {
	if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != ocispec.MediaTypeImageIndex {
		return fmt.Errorf("inputs: media type %.100q", d.MediaType)
	}
	if _, err := digest.Parse(string(d.Digest)); err != nil {
		return fmt.Errorf("inputs: %w", err)
	}
	if d.Size <= 0 || d.Size > store.ManifestLimit {
		return fmt.Errorf("inputs: size %d", d.Size)
	}
	return nil
}
