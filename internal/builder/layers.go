package builder

import (
	"context"
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/fsx"
	"overland/internal/store"
)

// pictured is an image whose layers are compared.
type pictured struct {
	in       store.Opener
	manifest ocispec.Manifest
	config   ocispec.Image
}

// firstLayer says where two images begin to differ: in what their layers hold, which is compared before how that is
// packed, then in their configs; else in their manifests, which is for the caller to say.
func firstLayer(ctx context.Context, was, is Side) (string, bool) {
	one, errA := picture(ctx, was)
	two, errB := picture(ctx, is)
	if errA != nil || errB != nil {
		return "", false
	}
	if n, m := len(one.manifest.Layers), len(two.manifest.Layers); n != m {
		return fmt.Sprintf("it had %d layers, and has %d now", n, m), true
	}
	for i := range one.manifest.Layers {
		if a, b := one.config.RootFS.DiffIDs[i], two.config.RootFS.DiffIDs[i]; a != b {
			return fmt.Sprintf("%s: %s", one.named(i), blobs(ctx, one, two, one.manifest.Layers[i].Digest, two.manifest.Layers[i].Digest)), true
		}
	}
	for i := range one.manifest.Layers {
		if a, b := one.manifest.Layers[i].Digest, two.manifest.Layers[i].Digest; a != b {
			return fmt.Sprintf("%s is the same content, compressed into other bytes: %s, now %s", one.named(i), a, b), true
		}
	}
	if a, b := one.manifest.Config.Digest, two.manifest.Config.Digest; a != b {
		return "all its layers are the same, but in their configs " + blobs(ctx, one, two, a, b), true
	}
	return "", false
}

// blobs says where blob a of one and blob b of two begin to differ.
func blobs(ctx context.Context, one, two *pictured, a, b digest.Digest) string {
	return Difference(ctx, Side{In: one.in, Digest: a}, Side{In: two.in, Digest: b})
}

// named returns what people call layer i, which a builder said when it made it.
func (p *pictured) named(i int) string {
	text := fmt.Sprintf("in layer %d of %d", i+1, len(p.manifest.Layers))
	if len(p.config.History) == len(p.manifest.Layers) {
		text += fmt.Sprintf(" (%.100s)", p.config.History[i].CreatedBy)
	}
	return text
}

func picture(ctx context.Context, s Side) (*pictured, error) {
	p := &pictured{in: s.In}
	err := document(ctx, s.In, s.Digest, &p.manifest)
	if err == nil {
		err = document(ctx, s.In, p.manifest.Config.Digest, &p.config)
	}
	if err == nil && len(p.config.RootFS.DiffIDs) != len(p.manifest.Layers) {
		err = fmt.Errorf("%d layers, and %d in its config", len(p.manifest.Layers), len(p.config.RootFS.DiffIDs))
	}
	return p, err
}

func document(ctx context.Context, in store.Opener, d digest.Digest, to any) error {
	b, err := in.Open(ctx, d)
	if err != nil {
		return err
	}
	defer b.Close()
	text, err := fsx.Read(b, string(d), store.ManifestLimit)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}
