package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// Save writes the image whose manifest is desc as one tar file to w: an OCI image layout, with the document by
// which `docker load` finds its way in it. So docker, podman, ctr and skopeo take the same file. name is what
// it is called there: "wallet:r412". Equal images of one name give equal bytes. An image with a layer that docker does not read
// is errs.Invalid.
func Save(ctx context.Context, s store.Store, desc ocispec.Descriptor, name string, w io.Writer) error {
	config, parts, err := read(ctx, s, desc)
	if err != nil {
		return err
	}
	at := time.Unix(0, 0)
	if config.Created != nil {
		at = config.Created.UTC()
	}
	a := &archive{ctx: ctx, s: s, tar: tar.NewWriter(w), at: at}
	docker := []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{{Config: blobPath(parts[0].Digest), RepoTags: []string{name}}}
	for _, l := range parts[1:] {
		if l.MediaType == ocispec.MediaTypeImageLayerZstd {
			return errs.Hint(errs.Errorf(errs.Invalid, "%s has a layer that is packed with zstd, which docker load does not read", name),
				"write it in the OCI form (--for oci, or build --out oci:FOLDER), push it to a registry, or build it without compress: zstd")
		}
		docker[0].Layers = append(docker[0].Layers, blobPath(l.Digest))
	}
	if err := a.layout(named(desc, name)); err != nil {
		return err
	}
	if err := a.document("manifest.json", docker); err != nil {
		return err
	}
	if err := a.blobs(append([]ocispec.Descriptor{desc}, parts...)); err != nil {
		return err
	}
	return a.tar.Close()
}

// SaveIndex writes images, each of another platform, as one OCI archive to w: what `skopeo copy --all` and `ctr
// images import --all-platforms` take, and docker load before version 25 does not. name is what they are called there.
func SaveIndex(ctx context.Context, s store.Store, images []ocispec.Descriptor, name string, w io.Writer) error {
	index, err := PutIndex(ctx, s, images, nil)
	if err != nil {
		return err
	}
	a := &archive{ctx: ctx, s: s, tar: tar.NewWriter(w), at: time.Unix(0, 0)}
	if err := a.layout(named(index, name)); err != nil {
		return err
	}
	list := []ocispec.Descriptor{index}
	for _, m := range images {
		_, parts, err := read(ctx, s, m)
		if err != nil {
			return err
		}
		list = append(append(list, m), parts...)
	}
	if err := a.blobs(list); err != nil {
		return err
	}
	return a.tar.Close()
}

// named returns desc with docker's and ctr's name for it.
func named(desc ocispec.Descriptor, name string) ocispec.Descriptor {
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: name, "io.containerd.image.name": name}
	return desc
}

func blobPath(d digest.Digest) string { return "blobs/" + string(d.Algorithm()) + "/" + d.Encoded() }

// archive is a tar of documents and blobs.
type archive struct {
	ctx context.Context //nolint:containedctx // of one call of Save
	s   store.Opener
	tar *tar.Writer
	at  time.Time
}

const fileMode = 0o644

func (a *archive) document(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := a.tar.WriteHeader(&tar.Header{Name: name, Mode: fileMode, Size: int64(len(b)), ModTime: a.at}); err != nil {
		return err
	}
	_, err = a.tar.Write(b)
	return err
}

// layout adds the documents of an OCI image layout in which desc is named.
func (a *archive) layout(desc ocispec.Descriptor) error {
	if err := a.document(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
		return err
	}
	return a.document(ocispec.ImageIndexFile, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{desc},
	})
}

// blobs adds blobs, each once: a layer may stand twice in an image, and in many.
func (a *archive) blobs(list []ocispec.Descriptor) error {
	done := map[digest.Digest]bool{}
	for _, d := range list {
		if done[d.Digest] {
			continue
		}
		done[d.Digest] = true
		if err := a.blob(d); err != nil {
			return err
		}
	}
	return nil
}

// blob adds a blob, and proves its bytes on their way.
func (a *archive) blob(d ocispec.Descriptor) error {
	b, err := a.s.Open(a.ctx, d.Digest)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := a.tar.WriteHeader(&tar.Header{Name: blobPath(d.Digest), Mode: fileMode, Size: d.Size, ModTime: a.at}); err != nil {
		return err
	}
	if _, err := io.Copy(a.tar, digest.Reader(store.Once(b), d.Digest, d.Size)); err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return nil
}
