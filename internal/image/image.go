package image

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
	"overland/internal/store"
)

// Image is one platform's image, as it is written.
type Image struct {
	Platform    platform.Platform
	Created     time.Time // the commit's; never that of the build
	Layers      []Step    // the lowest first
	Run         Run
	Annotations map[string]string // of the manifest: org.opencontainers.image.version and its like
}

// Step is one layer and what made it, as `docker history` shows it.
type Step struct {
	Made
	By      string    // "overland rootfs debian/trixie"
	Created time.Time // zero = the image's
}

// Run is how a container of an image runs, as nobody said otherwise. The zero value runs nothing.
type Run struct {
	User       string // name or uid[:gid]; "" = root
	Env        []string
	Entrypoint []string
	Cmd        []string
	WorkingDir string
	Volumes    []string // folders of the container: "/data"
	Ports      []string // "8080/tcp"
	Labels     map[string]string
	StopSignal string // "SIGINT"; "" = SIGTERM
}

// Written is an image in a depot.
type Written struct {
	ocispec.Descriptor                 // of its manifest, with its platform
	Manifest           []byte          // that is named so
	Parts              []digest.Digest // its config, then its layers
}

// Put writes the config and the manifest of i into the depot. Layers must be there. Equal images give equal bytes.
func Put(ctx context.Context, s store.Blobs, i Image) (*Written, error) {
	if len(i.Layers) == 0 { // docker and containerd take none without
		return nil, errs.Errorf(errs.Invalid, "an image without a layer")
	}
	config, _, err := putJSON(ctx, s, ocispec.MediaTypeImageConfig, i.config())
	if err != nil {
		return nil, err
	}
	w := &Written{Parts: []digest.Digest{config.Digest}}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Annotations: i.Annotations,
	}
	for _, l := range i.Layers {
		m.Layers = append(m.Layers, l.Descriptor)
		w.Parts = append(w.Parts, l.Digest)
	}
	w.Descriptor, w.Manifest, err = putJSON(ctx, s, ocispec.MediaTypeImageManifest, m)
	w.Platform = i.Platform.OCI()
	return w, err
}

func (i *Image) config() ocispec.Image {
	created := i.Created.UTC().Truncate(time.Second)
	c := ocispec.Image{
		Created: &created, Platform: *i.Platform.OCI(),
		Config: ocispec.ImageConfig{
			User: i.Run.User, Env: i.Run.Env, Entrypoint: i.Run.Entrypoint, Cmd: i.Run.Cmd, WorkingDir: i.Run.WorkingDir,
			Volumes: set(i.Run.Volumes), ExposedPorts: set(i.Run.Ports), Labels: i.Run.Labels, StopSignal: i.Run.StopSignal,
		},
		RootFS: ocispec.RootFS{Type: "layers"},
	}
	for _, l := range i.Layers {
		at := created
		if !l.Created.IsZero() {
			at = l.Created.UTC().Truncate(time.Second)
		}
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, l.DiffID)
		c.History = append(c.History, ocispec.History{Created: &at, CreatedBy: l.By})
	}
	return c
}

func set(list []string) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]struct{}, len(list))
	for _, s := range list {
		m[s] = struct{}{}
	}
	return m
}

// PutIndex writes the index of images, each of another platform, and returns its descriptor. It has
// them in the order of platform.All, and nothing else.
func PutIndex(ctx context.Context, s store.Blobs, images []ocispec.Descriptor, annotations map[string]string) (ocispec.Descriptor, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: annotations}
	for _, p := range platform.All() {
		for _, m := range images {
			if platform.FromOCI(m.Platform) == p {
				index.Manifests = append(index.Manifests, m)
			}
		}
	}
	twice := func(a, b ocispec.Descriptor) bool {
		return platform.FromOCI(a.Platform) == platform.FromOCI(b.Platform)
	}
	if n := len(slices.CompactFunc(slices.Clone(index.Manifests), twice)); n == 0 || n != len(images) {
		return ocispec.Descriptor{}, errs.Errorf(errs.Invalid, "an index of %d images for %d platforms", len(images), n)
	}
	desc, _, err := putJSON(ctx, s, ocispec.MediaTypeImageIndex, index)
	return desc, err
}

// putJSON stores v as JSON, and returns its bytes too.
func putJSON(ctx context.Context, s store.Blobs, mediaType string, v any) (ocispec.Descriptor, []byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, nil, err
	}
	if len(b) > store.ManifestLimit {
		return ocispec.Descriptor{}, nil, errs.Errorf(errs.Invalid, "%s of %d bytes: registries take %d", mediaType, len(b), store.ManifestLimit)
	}
	d, err := store.PutBytes(ctx, s, b)
	if err != nil {
		err = fmt.Errorf("%s: %w", mediaType, err)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}, b, err
}

// Read returns the config of the image whose manifest is desc, and the descriptors of its layers. What is
// not an image, or is not whole, is an error of kind Untrusted.
func Read(ctx context.Context, s store.Getter, desc ocispec.Descriptor) (*ocispec.Image, []ocispec.Descriptor, error) {
	c, list, err := read(ctx, s, desc)
	if err != nil {
		return nil, nil, err
	}
	return c, list[1:], nil
}

// read is Read with the descriptor of the config before those of the layers.
func read(ctx context.Context, s store.Getter, desc ocispec.Descriptor) (*ocispec.Image, []ocispec.Descriptor, error) {
	b, err := s.Bytes(ctx, desc.Digest, store.ManifestLimit)
	if err != nil {
		return nil, nil, err
	}
	list, err := store.Children(desc.MediaType, b)
	if err != nil {
		return nil, nil, err
	}
	if len(list) == 0 || list[0].MediaType != ocispec.MediaTypeImageConfig {
		return nil, nil, errs.Errorf(errs.Untrusted, "%s is not an image", desc.Digest)
	}
	b, err = s.Bytes(ctx, list[0].Digest, store.ManifestLimit)
	if err != nil {
		return nil, nil, err
	}
	var c ocispec.Image
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, nil, errs.Errorf(errs.Untrusted, "config of image %s: %w", desc.Digest, err)
	}
	if len(c.RootFS.DiffIDs) != len(list)-1 {
		return nil, nil, errs.Errorf(errs.Untrusted, "image %s: %d layers, and %d in its config", desc.Digest, len(list)-1, len(c.RootFS.DiffIDs))
	}
	for _, d := range c.RootFS.DiffIDs {
		if _, err := digest.Parse(string(d)); err != nil {
			return nil, nil, errs.E(errs.Untrusted, err)
		}
	}
	return &c, list, nil
}
