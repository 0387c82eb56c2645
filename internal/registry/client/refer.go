package client

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// referTries is how often the list of a registry without the referrers API is written: two writers who read it at the
// same moment take each other's entry out.
const referTries = 10

// refer sends list, and returns when the registry lists all of them as referrers of their subjects. A registry that does not
// keep such lists has them in a tag, sha256-HEX, which ggcr writes once; it is written and read again until ours are in it.
func (p *push) refer(repo name.Repository, list []Referrer) error {
	for _, r := range list {
		at := repo.Digest(r.Digest.String())
		doc, err := p.document(r.Descriptor)
		if err == nil {
			err = remote.Write(at, doc, p.options...)
		}
		if err != nil {
			return p.explain(at, err)
		}
	}
	for try := range referTries {
		left, err := p.unlisted(repo, list)
		if err != nil || len(left) == 0 {
			return err
		}
		if err := p.pause(try); err != nil {
			return err
		}
		for _, r := range left {
			if err := p.list(repo, r); err != nil {
				return err
			}
		}
	}
	return errs.Hint(errs.Errorf(errs.Unavailable, "push to %s: the registry does not list what was sent about the image", repo),
		"do it again while nobody else pushes there; --bare sends the image alone")
}

// list adds r to the tag that lists the referrers of its subject.
func (p *push) list(repo name.Repository, r Referrer) error {
	tag := repo.Tag(strings.Replace(string(r.Subject), ":", "-", 1))
	m, err := p.listed(repo, r.Subject)
	if err != nil {
		return err
	}
	hash, err := v1.NewHash(string(r.Digest))
	if err != nil {
		return err
	}
	m.Manifests = append(m.Manifests, v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Digest: hash, Size: r.Size, ArtifactType: r.ArtifactType, Annotations: r.Annotations,
	})
	slices.SortFunc(m.Manifests, func(a, b v1.Descriptor) int { return cmp.Compare(a.Digest.Hex, b.Digest.Hex) })
	if err := remote.Put(tag, tagged{m}, p.options...); err != nil {
		return p.explain(tag, err)
	}
	return nil
}

// tagged is an index as ggcr writes one under a tag.
type tagged struct{ *v1.IndexManifest }

func (t tagged) RawManifest() ([]byte, error)      { return json.Marshal(t.IndexManifest) }
func (tagged) MediaType() (types.MediaType, error) { return types.OCIImageIndex, nil }

// listed returns what the registry lists as referrers of subject.
func (p *push) listed(repo name.Repository, subject digest.Digest) (*v1.IndexManifest, error) {
	at := repo.Digest(string(subject))
	index, err := remote.Referrers(at, p.options...)
	if err != nil {
		return nil, p.explain(at, err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, p.explain(at, err)
	}
	m = m.DeepCopy()
	m.SchemaVersion, m.MediaType = 2, types.OCIImageIndex
	return m, nil
}

// pause waits longer with each try, and not as long as another writer who has lost too.
func (p *push) pause(try int) error {
	const unit = 20 * time.Millisecond
	timer := time.NewTimer(rand.N(time.Duration(try*try+1) * unit))
	defer timer.Stop()
	select {
	case <-p.ctx.Done():
		return p.ctx.Err()
	case <-timer.C:
		return nil
	}
}

// unlisted returns those of list that the registry does not list as referrers of their subject.
func (p *push) unlisted(repo name.Repository, list []Referrer) (missing []Referrer, err error) {
	have := map[digest.Digest]*v1.IndexManifest{}
	for _, r := range list {
		if have[r.Subject] == nil {
			if have[r.Subject], err = p.listed(repo, r.Subject); err != nil {
				return nil, err
			}
		}
		found := false
		for _, m := range have[r.Subject].Manifests {
			found = found || m.Digest.String() == r.Digest.String()
		}
		if !found {
			missing = append(missing, r)
		}
	}
	return missing, nil
}

// document returns the OCI artifact whose manifest is desc.
func (p *push) document(desc ocispec.Descriptor) (v1.Image, error) {
	manifest, err := p.s.Bytes(p.ctx, desc.Digest, store.ManifestLimit)
	if err != nil {
		return nil, err
	}
	parts, err := store.Children(ocispec.MediaTypeImageManifest, manifest)
	if err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%s: no document", desc.Digest)
	}
	return partial.CompressedToImage(&core{p, manifest, parts[1:]})
}
