package operator

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/platform"
	"overland/internal/registry/client"
	"overland/internal/release"
	"overland/internal/sbom"
)

// ImageOptions say which image of a signed release is meant.
type ImageOptions struct {
	Ref       release.Ref
	Image     string              // the artifact's name; "" = the only image
	Platforms []platform.Platform // empty = all
}

// images returns the manifests of an image, one for each platform, and what it is called.
func (p *Operator) images(ctx context.Context, o ImageOptions) (name string, list []ocispec.Descriptor, err error) {
	_, d, err := p.find(ctx, o.Ref)
	if err != nil {
		return "", nil, err
	}
	r, err := release.Read(ctx, p.depot, d)
	if err != nil {
		return "", nil, err
	}
	var names []string
	for _, a := range r.Artifacts {
		if a.Kind == release.KindImage && !slices.Contains(names, a.Name) {
			names = append(names, a.Name)
		}
	}
	switch name = o.Image; {
	case len(names) == 0:
		return "", nil, errs.Errorf(errs.NotFound, "%s has no image", o.Ref)
	case name == "" && len(names) > 1:
		return "", nil, errs.Hint(errs.Errorf(errs.Invalid, "%s has %d images: which one?", o.Ref, len(names)), "--image %s", strings.Join(names, ", --image "))
	case name == "":
		name = names[0]
	case !slices.Contains(names, name):
		return "", nil, errs.Hint(errs.Errorf(errs.NotFound, "%s has no image %.100q", o.Ref, name), "one of: %s", strings.Join(names, ", "))
	}
	have := []string{}
	for _, a := range r.Artifacts {
		if a.Name != name {
			continue
		}
		have = append(have, string(a.Platform))
		if len(o.Platforms) == 0 || slices.Contains(o.Platforms, a.Platform) {
			list = append(list, ocispec.Descriptor{
				MediaType: ocispec.MediaTypeImageManifest, Digest: a.Blob.Digest, Size: a.Blob.Size, Platform: a.Platform.OCI(),
			})
		}
	}
	for _, one := range o.Platforms {
		if !slices.Contains(have, string(one)) {
			return "", nil, errs.Hint(errs.Errorf(errs.NotFound, "%s of %s is not made for %s", name, o.Ref, one), "it is for: %s", strings.Join(have, ", "))
		}
	}
	return name, list, nil
}

// SaveImage writes an image to w, called NAME:VERSION there. Of one platform the file is one that docker load, podman, ctr
// and skopeo take; with all it is an OCI archive with an index of o.Platforms.
func (p *Operator) SaveImage(ctx context.Context, o ImageOptions, all bool, w io.Writer) error {
	name, list, err := p.images(ctx, o)
	if err != nil {
		return err
	}
	name += ":" + o.Ref.Version
	if all {
		return image.SaveIndex(ctx, p.depot, list, name, w)
	}
	if len(list) > 1 {
		return errs.Hint(errs.Errorf(errs.Invalid, "%s is for %d platforms, and docker's archive holds one", name, len(list)), "--platform names it; --for oci takes them all")
	}
	return image.Save(ctx, p.depot, list[0], name, w)
}

// PushImage sends an image to the repository to of a registry, HOST:PORT/NAME, as o.Ref's version, and for each platform
// under a name of its own. What the image is made of and how it was built go with it, unless bare is set.
func (p *Operator) PushImage(ctx context.Context, o ImageOptions, to string, bare bool, how client.Options) ([]client.Pushed, error) {
	name, list, err := p.images(ctx, o)
	if err != nil {
		return nil, err
	}
	if !bare {
		if how.Referrers, err = p.referrers(ctx, o.Ref, name, list); err != nil {
			return nil, err
		}
	}
	return client.Push(ctx, p.depot, to, o.Ref.Version, list, how)
}

// referrers writes what there is to say about each of images, the artifact name of ref, and about their index: an SBOM in
// both formats, and signed provenance.
func (p *Operator) referrers(ctx context.Context, ref release.Ref, name string, images []ocispec.Descriptor) ([]client.Referrer, error) {
	index, err := image.PutIndex(ctx, p.depot, images, nil)
	if err != nil {
		return nil, err
	}
	var all []platform.Platform
	for _, m := range images {
		all = append(all, platform.FromOCI(m.Platform))
	}
	whole, err := p.SBOM(ctx, ref, sbom.Options{Artifact: name, Platforms: all}) // each layer is read once
	if err != nil {
		return nil, err
	}
	var list []image.Referrer
	for _, m := range append(slices.Clone(images), index) {
		doc := *whole
		if m.Platform != nil { // the index is of all
			of := platform.FromOCI(m.Platform)
			doc.Artifacts = slices.DeleteFunc(slices.Clone(whole.Artifacts), func(a sbom.Artifact) bool { return a.Platform != of })
		}
		for _, f := range sbom.Formats() {
			var b bytes.Buffer
			if err := f.Write(&doc, &b); err != nil {
				return nil, err
			}
			list = append(list, image.Referrer{Subject: m, Type: f.MediaType, Content: b.Bytes()})
		}
	}
	signed, err := p.Provenance(ctx, ref)
	if err != nil {
		return nil, err
	}
	for _, m := range append(slices.Clone(images), index) {
		for _, one := range signed {
			if one.Subject.Digest == m.Digest {
				list = append(list, one.Referrer())
			}
		}
	}
	out := make([]client.Referrer, 0, len(list))
	for _, r := range list {
		desc, err := image.PutReferrer(ctx, p.depot, r)
		if err != nil {
			return nil, err
		}
		out = append(out, client.Referrer{Descriptor: desc, Subject: r.Subject.Digest})
	}
	return out, nil
}
