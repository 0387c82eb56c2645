package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
)

// BlobFolder is where an OCI image layout, and so a depot, has its blobs: each is a file named by the digits of its digest.
const BlobFolder = "blobs/sha256"

// Limits of one OCI manifest or index, and of how deep they nest.
const (
	ManifestLimit = 4 << 20 // bytes; what registries accept
	ChildLimit    = 1 << 14 // descriptors
	valueLimit    = 1 << 17 // JSON values
	depthLimit    = 16
)

// Docker's names for the same two documents.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// ErrSkip is returned by the visit function of Walk; it passes over what the descriptor points to.
var ErrSkip = errors.New("skip what this points to")

// HasChildren reports whether a blob of this media type is a document that points to other blobs.
func HasChildren(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, dockerManifest, dockerList:
		return true
	}
	return false
}

// CheckDocument refuses what is longer than a manifest or an index, or has many more values (ErrTooLarge), before it is
// decoded: "{}," has three bytes, and becomes a descriptor of more than a hundred.
func CheckDocument(b []byte) error {
	if n := values(b); len(b) > ManifestLimit || n > valueLimit {
		return fmt.Errorf("%d bytes, %d values: %w", len(b), n, ErrTooLarge)
	}
	return nil
}

// Dense reports whether the JSON b has more values than any document of ours, which name digests: what it is decoded into
// would be a hundred times as long.
func Dense(b []byte) bool {
	const bytesOfOne, few = 16, 1000
	return values(b) > len(b)/bytesOfOne+few
}

// values returns how many values the JSON b has, about.
func values(b []byte) int {
	n, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case !text && (c == ',' || c == '{'):
			n++
		}
	}
	return n
}

// Children returns what the document b points to: an index's manifests; a manifest's config, then
// its layers. It is empty for other media types. A document that exceeds the limits, names a bad
// digest or claims another media type than the one it was reached by is refused (errs.Untrusted).
func Children(mediaType string, b []byte) ([]ocispec.Descriptor, error) {
	if !HasChildren(mediaType) {
		return nil, nil
	}
	list, err := children(mediaType, b)
	if err != nil {
		return nil, errs.Errorf(errs.Untrusted, "%s: %w", mediaType, err)
	}
	return list, nil
}

func children(mediaType string, b []byte) ([]ocispec.Descriptor, error) {
	if err := CheckDocument(b); err != nil {
		return nil, err
	}
	var doc struct {
		SchemaVersion int                  `json:"schemaVersion"`
		MediaType     string               `json:"mediaType"`
		Manifests     []ocispec.Descriptor `json:"manifests"`
		Config        *ocispec.Descriptor  `json:"config"`
		Layers        []ocispec.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if doc.SchemaVersion != 2 {
		return nil, fmt.Errorf("schema version %d, want 2", doc.SchemaVersion)
	}
	if doc.MediaType != "" && doc.MediaType != mediaType {
		return nil, fmt.Errorf("says that it is %.100q", doc.MediaType)
	}
	list := doc.Manifests
	if mediaType == ocispec.MediaTypeImageManifest || mediaType == dockerManifest {
		if doc.Config == nil || doc.Manifests != nil {
			return nil, errors.New("not a manifest")
		}
		list = append([]ocispec.Descriptor{*doc.Config}, doc.Layers...)
	} else if doc.Config != nil || doc.Layers != nil {
		return nil, errors.New("not an index")
	}
	if len(list) > ChildLimit {
		return nil, fmt.Errorf("points to %d blobs: %w", len(list), ErrTooLarge)
	}
	for _, d := range list {
		if err := checkDescriptor(d); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Walk calls visit for root and for everything that it reaches, a document before what it points
// to, each digest once. visit may return ErrSkip; any other error ends the walk. Documents come
// from g; one whose size is not that of its descriptor is refused (errs.Untrusted).
func Walk(ctx context.Context, g Getter, root ocispec.Descriptor, visit func(ocispec.Descriptor) error) error {
	w := walk{g: g, visit: visit, seen: map[digest.Digest]bool{}}
	return w.walk(ctx, root, 0)
}

type walk struct {
	g       Getter
	visit   func(ocispec.Descriptor) error
	seen    map[digest.Digest]bool
	partial bool // missing documents are passed over
}

func (w *walk) walk(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if w.seen[desc.Digest] {
		return nil
	}
	w.seen[desc.Digest] = true
	if depth > depthLimit {
		return errs.Errorf(errs.Untrusted, "%s: nested deeper than %d", desc.Digest, depthLimit)
	}
	if err := checkDescriptor(desc); err != nil {
		return err
	}
	if err := w.visit(desc); errors.Is(err, ErrSkip) {
		return nil
	} else if err != nil {
		return err
	}
	if !HasChildren(desc.MediaType) {
		return nil
	}
	b, err := w.g.Bytes(ctx, desc.Digest, min(desc.Size, ManifestLimit))
	if w.partial && errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if int64(len(b)) != desc.Size {
		return errs.Errorf(errs.Untrusted, "%s: %d bytes, its descriptor says %d", desc.Digest, len(b), desc.Size)
	}
	list, err := Children(desc.MediaType, b)
	if err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, err)
	}
	for _, c := range list {
		if err := w.walk(ctx, c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// Reach returns everything that roots reach, each blob once, a document before what it points to.
// keep, when not nil, reports whether to take a descriptor; one that is not taken is not followed
// either (the other platforms of an index).
func Reach(ctx context.Context, g Getter, roots []ocispec.Descriptor, keep func(ocispec.Descriptor) bool) ([]ocispec.Descriptor, error) {
	var list []ocispec.Descriptor
	w := walk{g: g, seen: map[digest.Digest]bool{}, visit: func(d ocispec.Descriptor) error {
		if keep != nil && !keep(d) {
			return ErrSkip
		}
		list = append(list, d)
		return nil
	}}
	for _, root := range roots {
		if err := w.walk(ctx, root, 0); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Marked returns the digests of everything that roots reach, for a collection. A missing document
// reaches nothing; one that cannot be read is an error.
func Marked(ctx context.Context, g Getter, roots []ocispec.Descriptor) (map[digest.Digest]bool, error) {
	w := walk{g: g, visit: func(ocispec.Descriptor) error { return nil }, seen: map[digest.Digest]bool{}, partial: true}
	for _, root := range roots {
		if err := w.walk(ctx, root, 0); err != nil {
			return nil, err
		}
	}
	return w.seen, nil
}
