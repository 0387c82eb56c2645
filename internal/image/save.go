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
	"overland/internal/store"
)

// Save writes the image whose manifest is desc as one tar file to w: an OCI image layout, with the document by
// which `docker load` finds its way in it. So docker, podman, ctr and skopeo take the same file. name is what
// it is called there: "wallet:r412". Equal images of one name give equal bytes.
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
		docker[0].Layers = append(docker[0].Layers, blobPath(l.Digest))
	}
	desc.Annotations = map[string]string{
		ocispec.AnnotationRefName: name, "io.containerd.image.name": name, // docker's and ctr's name for it
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{desc}}
	for _, f := range []struct {
		name string
		doc  any
	}{
		{ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}},
		{ocispec.ImageIndexFile, index},
		{"manifest.json", docker},
	} {
		if err := a.document(f.name, f.doc); err != nil {
			return err
		}
	}
	done := map[digest.Digest]bool{} // a layer may stand twice in an image
	for _, d := range append([]ocispec.Descriptor{desc}, parts...) {
		if done[d.Digest] {
			continue
		}
		done[d.Digest] = true
		if err := a.blob(d); err != nil {
			return err
		}
	}
	return a.tar.Close()
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
