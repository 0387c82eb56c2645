package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// ManifestLimit is the length in bytes of the longest manifest that is taken.
const ManifestLimit = store.ManifestLimit

// Manifest is a manifest of a repository.
type Manifest struct {
	Digest    Digest // under which it was asked for, else under which it was pushed
	MediaType string
	Bytes     []byte
}

// document is what the registry reads of a manifest or an index.
type document struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

// descriptor is an OCI descriptor whose digest may be a sha512.
type descriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	URLs      []string `json:"urls"`
}

// elsewhere reports whether what d points to is not pushed with the image: licences forbid it.
func (d descriptor) elsewhere() bool {
	return len(d.URLs) > 0 || strings.Contains(d.MediaType, ".nondistributable.") || strings.Contains(d.MediaType, ".foreign.")
}

// parseManifest reads b, which its sender calls mediaType ("" = nothing), and checks that it is a manifest or an index.
func parseManifest(b []byte, mediaType string) (doc document, err error) {
	bad := func(format string, args ...any) (document, error) {
		return document{}, fail(errs.Invalid, ManifestInvalid, "manifest: "+format, args...)
	}
	if len(b) > ManifestLimit {
		return bad("%d bytes, at most %d are taken", len(b), ManifestLimit)
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return bad("%w", err)
	}
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	switch {
	case doc.SchemaVersion != 2:
		return bad("schema version %d, only 2 is taken", doc.SchemaVersion)
	case mediaType != "" && mediaType != "application/json" && doc.MediaType != "" && doc.MediaType != mediaType:
		return bad("sent as %.100q, and it says that it is %.100q", mediaType, doc.MediaType)
	case doc.MediaType == "":
		doc.MediaType = mediaType
	}
	if !store.HasChildren(doc.MediaType) {
		return bad("media type %.100q is not taken", doc.MediaType)
	}
	if isIndex(doc.MediaType) == (doc.Config != nil) || isIndex(doc.MediaType) && doc.Layers != nil || !isIndex(doc.MediaType) && doc.Manifests != nil {
		return bad("it is not what its media type says: %s", doc.MediaType)
	}
	if n := len(doc.Layers) + len(doc.Manifests); n > store.ChildLimit {
		return bad("it points to %d blobs", n)
	}
	for _, d := range doc.pointers() {
		if _, err := ParseDigest(d.Digest); err != nil {
			return bad("%w", err)
		}
		if d.Size < 0 {
			return bad("size %d of %s", d.Size, d.Digest)
		}
	}
	return doc, nil
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || strings.HasSuffix(mediaType, ".manifest.list.v2+json")
}

// pointers returns all descriptors of doc.
func (doc document) pointers() []descriptor {
	list := slices.Concat(doc.Manifests, doc.Layers)
	for _, d := range []*descriptor{doc.Config, doc.Subject} {
		if d != nil {
			list = append(list, *d)
		}
	}
	return list
}

// artifactType returns what referrers of that kind are asked for by.
func (doc document) artifactType() string {
	if doc.ArtifactType == "" && doc.Config != nil {
		return doc.Config.MediaType
	}
	return doc.ArtifactType
}

// Pushed is what became of a push.
type Pushed struct {
	Digest  Digest
	Subject Digest // what the manifest is about; "" = nothing
}

// Put stores the manifest b, which its sender calls mediaType, under ref, and lets tags stand for it too. Errors:
// DigestInvalid when it is not what ref names; ManifestInvalid; ManifestBlobUnknown when it points to what the
// repository does not have; Denied for a tag that stands for something else already and must not move.
func (r *Registry) Put(ctx context.Context, name Name, ref Reference, tags []string, mediaType string, b []byte) (Pushed, error) {
	named := ref.Digest
	if named == "" {
		named, tags = Digest(digest.Of(b)), append([]string{ref.Tag}, tags...)
	}
	if got := named.of(b); got != named {
		return Pushed{}, fail(errs.Invalid, DigestInvalid, "manifest %s: its bytes are %s", named, got)
	}
	for _, t := range tags {
		if !tagForm.MatchString(t) {
			return Pushed{}, fail(errs.Invalid, ManifestInvalid, "tag %.150q: up to 128 letters, digits and ._-", t)
		}
	}
	doc, err := parseManifest(b, mediaType)
	if err != nil {
		return Pushed{}, err
	}
	needs, err := r.needs(ctx, doc)
	if err != nil {
		return Pushed{}, err
	}
	blob, err := store.PutBytes(ctx, r.blobs, b)
	if err == nil && named.SHA512() {
		err = r.facts.AddRegistryAlias(ctx, string(named), blob, int64(len(b)))
	}
	if err != nil {
		return Pushed{}, err
	}
	m := db.Manifest{
		Blob: blob, Digest: string(named), MediaType: doc.MediaType, Size: int64(len(b)), ArtifactType: doc.artifactType(),
		Annotations: doc.Annotations, Needs: needs, At: r.o.Now(),
	}
	if doc.Subject != nil {
		m.Subject = doc.Subject.Digest
	}
	for _, d := range doc.pointers() {
		if doc.Subject == nil || d.Digest != doc.Subject.Digest {
			m.Children = append(m.Children, d.Digest)
		}
	}
	var lacks *db.LacksError
	if err := r.facts.PutManifest(ctx, string(name), m, tags, r.mayMove(name)); errors.As(err, &lacks) {
		return Pushed{}, fail(errs.NotFound, ManifestBlobUnknown, "%s is not in this repository: push it first", lacks.Blob)
	} else if err != nil {
		return Pushed{}, err
	}
	return Pushed{named, Digest(m.Subject)}, r.blobs.Touch(blob)
}

// needs returns the blobs that a repository must have before doc is pushed.
func (r *Registry) needs(ctx context.Context, doc document) (list []digest.Digest, err error) {
	if r.o.Sparse {
		return nil, nil
	}
	for _, d := range doc.pointers() {
		if d.elsewhere() || doc.Subject != nil && d.Digest == doc.Subject.Digest {
			continue
		}
		b, err := r.resolve(ctx, Digest(d.Digest))
		if err != nil {
			return nil, unknown(err, ManifestBlobUnknown, d.Digest)
		}
		list = append(list, b)
	}
	return list, nil
}

// mayMove returns what is asked before a tag of the repository stands for something else, or for nothing; nil = it may.
func (r *Registry) mayMove(name Name) func(string, digest.Digest) error {
	if !r.fixed(name) {
		return nil
	}
	return func(tag string, now digest.Digest) error {
		return fail(errs.Denied, Denied, "tag %s of %s stands for %s for good", tag, name, now)
	}
}

// Manifest returns what ref names in the repository, whole.
func (r *Registry) Manifest(ctx context.Context, name Name, ref Reference) (Manifest, error) {
	row, err := r.row(ctx, name, ref)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Digest: Digest(row.Digest), MediaType: row.MediaType}
	if ref.Digest != "" {
		m.Digest = ref.Digest
	}
	m.Bytes, err = r.blobs.Bytes(ctx, row.Blob, ManifestLimit)
	return m, err
}

func (r *Registry) row(ctx context.Context, name Name, ref Reference) (row db.Manifest, err error) {
	if ref.Tag != "" {
		row, err = r.facts.TaggedManifest(ctx, string(name), ref.Tag)
	} else {
		var b digest.Digest
		if b, err = r.resolve(ctx, ref.Digest); err == nil {
			row, err = r.facts.Manifest(ctx, string(name), b)
		}
	}
	return row, unknown(err, ManifestUnknown, "manifest "+ref.Tag+string(ref.Digest))
}

// RemoveManifest takes a manifest and the tags that stand for it out of the repository; of a ref that is a tag, the
// tag alone.
func (r *Registry) RemoveManifest(ctx context.Context, name Name, ref Reference) error {
	if err := r.deletes(); err != nil {
		return err
	}
	row, err := r.row(ctx, name, ref)
	if err != nil {
		return err
	}
	if ref.Tag == "" {
		return unknown(r.facts.RemoveManifest(ctx, string(name), row.Blob, r.mayMove(name)), ManifestUnknown, "manifest "+string(ref.Digest))
	}
	if may := r.mayMove(name); may != nil {
		return may(ref.Tag, row.Blob)
	}
	return unknown(r.facts.RemoveRegistryTag(ctx, string(name), ref.Tag), ManifestUnknown, "tag "+ref.Tag)
}

// Tags returns at most limit tags of the repository that sort behind after; errs.NotFound when there is no such
// repository.
func (r *Registry) Tags(ctx context.Context, name Name, after string, limit int) ([]string, error) {
	list, err := r.facts.RegistryTags(ctx, string(name), after, limit)
	if err != nil || len(list) > 0 {
		return list, err
	}
	there, err := r.facts.HasRepository(ctx, string(name))
	if err == nil && !there {
		err = fail(errs.NotFound, NameUnknown, "there is no repository %s", name)
	}
	return nil, err
}

// Repositories returns at most limit repositories that sort behind after.
func (r *Registry) Repositories(ctx context.Context, after string, limit int) ([]string, error) {
	return r.facts.Repositories(ctx, after, limit)
}

// Referrers returns descriptors of the manifests in the repository that are about subject, those of artifactType alone
// unless that is "". A subject that nobody has pushed may have referrers already.
func (r *Registry) Referrers(ctx context.Context, name Name, subject Digest, artifactType string) ([]ocispec.Descriptor, error) {
	names := []string{string(subject)}
	b, err := r.resolve(ctx, subject)
	if err == nil {
		names, err = r.names(ctx, b)
	}
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, fmt.Errorf("referrers of %s: %w", subject, err)
	}
	rows, err := r.facts.Referrers(ctx, string(name), names, artifactType)
	list := []ocispec.Descriptor{}
	for _, m := range rows {
		list = append(list, ocispec.Descriptor{
			MediaType: m.MediaType, Digest: digest.Digest(m.Digest), Size: m.Size, ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		})
	}
	return list, err
}
