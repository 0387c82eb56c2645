package registry

import (
	"cmp"
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

// referrersBytes is how many bytes of descriptors come in one answer, as the specification wants it: the annotations
// of one manifest may have as many as a manifest.
const referrersBytes = 4 << 20

// Manifest is a manifest of a repository. It is read from the depot, not held in memory: thousands of clients that take
// their time would hold 4 MiB each.
type Manifest struct {
	store.Blob
	Digest    Digest // under which it was asked for, else under which it was pushed
	MediaType string
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
	if err := store.CheckDocument(b); err != nil {
		return bad("%w", err)
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

// parts returns what doc consists of: all that it points to but what it is about.
func (doc document) parts() []descriptor {
	doc.Subject = nil
	return doc.pointers()
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
	if err := r.facts.NoteRegistryCame(ctx, digest.Of(b)); err != nil { // first, as in Finish
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
		Annotations: doc.Annotations, At: r.o.Now(),
	}
	for _, n := range needs {
		m.Needs = append(m.Needs, n.blob)
	}
	if doc.Subject != nil {
		m.Subject = doc.Subject.Digest
	}
	for _, d := range doc.parts() {
		m.Children = append(m.Children, d.Digest)
	}
	if err := r.facts.PutManifest(ctx, string(name), m, tags, r.mayMove(name)); err != nil {
		var lacking *db.LacksError
		if errors.As(err, &lacking) {
			i := slices.IndexFunc(needs, func(n need) bool { return n.blob == lacking.Blob })
			err = lacks(errs.E(errs.NotFound, err), needs[i].name)
		}
		return Pushed{}, err
	}
	return Pushed{named, Digest(m.Subject)}, r.blobs.Touch(blob)
}

// needs returns the blobs that a repository must have before doc is pushed, each with the name that doc has for it.
func (r *Registry) needs(ctx context.Context, doc document) (list []need, err error) {
	if r.o.Sparse {
		return nil, nil
	}
	for _, d := range doc.parts() {
		if d.elsewhere() {
			continue
		}
		b, err := r.resolve(ctx, Digest(d.Digest))
		if err != nil {
			return nil, lacks(err, d.Digest)
		}
		// The database alone may say that it is here, after a push that a collection was faster than.
		if _, err := r.blobs.Stat(ctx, b); err != nil {
			return nil, lacks(err, d.Digest)
		}
		list = append(list, need{b, d.Digest})
	}
	return list, nil
}

type need struct {
	blob digest.Digest
	name string
}

// lacks returns err, of which errs.NotFound becomes the error for a repository without the blob that a manifest
// calls name. It is one and the same whether other repositories have it: that, and what its other name is, is not told.
func lacks(err error, name string) error {
	if errs.KindOf(err) == errs.NotFound {
		return fail(errs.NotFound, ManifestBlobUnknown, "%s is not in this repository: push it first", name)
	}
	return err
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

// Manifest opens what ref names in the repository; the caller closes it.
func (r *Registry) Manifest(ctx context.Context, name Name, ref Reference) (Manifest, error) {
	row, err := r.row(ctx, name, ref)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Digest: Digest(row.Digest), MediaType: row.MediaType}
	if ref.Digest != "" {
		m.Digest = ref.Digest
		r.want(ctx, name, row)
	}
	m.Blob, err = r.blobs.Open(ctx, row.Blob)
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
	return unknown(r.facts.RemoveRegistryTag(ctx, string(name), ref.Tag, r.o.Now()), ManifestUnknown, "tag "+ref.Tag)
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

// Referrers returns descriptors of the manifests in the repository that are about subject, the oldest first, and
// whether there are more: at most limit, and not many more than 4 MiB of them. They are those behind the manifest last unless that is "", and
// those of artifactType alone unless that is "". A subject that nobody has pushed may have referrers already.
func (r *Registry) Referrers(ctx context.Context, name Name, subject Digest, artifactType string, last Digest, limit int) (list []ocispec.Descriptor, more bool, err error) {
	names := []string{string(subject)}
	b, err := r.resolve(ctx, subject)
	if err == nil {
		names, err = r.names(ctx, b)
	}
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return nil, false, fmt.Errorf("referrers of %s: %w", subject, err)
	}
	var after *db.Manifest
	if last != "" {
		row, err := r.row(ctx, name, Reference{Digest: last})
		if err != nil {
			return nil, false, err
		}
		after = &row
	}
	list = []ocispec.Descriptor{}
	size, wrong := 0, error(nil)
	err = r.facts.Referrers(ctx, string(name), names[0], names[len(names)-1], artifactType, after, func(m db.Manifest) bool {
		d := ocispec.Descriptor{
			MediaType: m.MediaType, Digest: digest.Digest(m.Digest), Size: m.Size, ArtifactType: m.ArtifactType, Annotations: m.Annotations,
		}
		var text []byte // as it is answered: JSON writes "<", and bytes that are no text, in six
		if text, wrong = json.Marshal(d); wrong != nil {
			return false
		}
		if more = len(list) == limit || len(list) > 0 && size+len(text) > referrersBytes; more {
			return false
		}
		size += len(text)
		list = append(list, d)
		return true
	})
	return list, more, cmp.Or(err, wrong)
}
