package site

import (
	"context"
	"slices"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/ecosystem/oci"
	"overland/internal/errs"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// lookAgain is how long what lock files name is remembered. What tags name is known at once.
const lookAgain = time.Minute

// private is the depot of a site whose images are for accounts, as everybody sees it: without what a push brought, and
// what is mirrored of other registries.
// The digest of an image is told in many places, and would be all that it takes. What a release, a lock
// or the cache needs is seen, whoever pushed the same bytes.
type private struct {
	store.Opener
	dir    string
	blobs  *storedir.Store
	known  *db.DB
	cached *cached // nil = the site has none

	mu     sync.Mutex
	tags   []ocispec.Descriptor // for which public was made
	at     time.Time            // when it was
	public map[digest.Digest]bool
}

// Open opens blob d: errs.NotFound for one that it does not show.
func (p *private) Open(ctx context.Context, d digest.Digest) (store.Blob, error) {
	hidden, err := p.hides(ctx, d)
	if err == nil && hidden {
		err = errs.E(errs.NotFound, store.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return p.Opener.Open(ctx, d)
}

// coming notes that a blob of another registry's is about to be here, where such images are for accounts: the depot has it
// before the cache says whose it is.
func (p *private) coming(ctx context.Context, protocol string, d digest.Digest) error {
	if p == nil || protocol != oci.Name {
		return nil
	}
	return p.known.NoteRegistryCame(ctx, d)
}

func (p *private) hides(ctx context.Context, d digest.Digest) (bool, error) {
	came, err := p.known.RegistryCame(ctx, d)
	if err != nil {
		return false, err
	}
	if p.cached != nil {
		mirrored, other, err := p.cached.cache.Holds(ctx, d, oci.Name)
		if err != nil || other {
			return false, err
		}
		came = came || mirrored
	}
	if !came {
		return false, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.look(ctx); err != nil {
		return false, err
	}
	return !p.public[d], nil
}

// look brings public up to date.
func (p *private) look(ctx context.Context) error {
	tags, err := p.blobs.Tags(ctx)
	if err != nil {
		return err
	}
	same := slices.EqualFunc(tags, p.tags, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
	if same && p.public != nil && time.Since(p.at) < lookAgain {
		return nil
	}
	public, err := named(ctx, p.dir, p.blobs, tags)
	if err != nil {
		return err
	}
	p.tags, p.at, p.public = tags, time.Now(), public
	return nil
}
