package registry

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"overland/internal/db"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// Store is what the registry needs of a depot.
type Store interface {
	store.Blobs
	store.Uploads
	// Touch keeps a collection that is under way from removing blob d.
	Touch(d digest.Digest) error
	// Claim notes that something else than tags names blobs of the depot.
	Claim(name string) error
}

// Options are the settings of a Registry. The zero value works.
type Options struct {
	// Delete says that clients may delete blobs, manifests and tags.
	Delete bool
	// Sparse says that a manifest may point to what its repository does not have.
	Sparse bool
	// Fixed are patterns (path.Match) of repositories whose tags never stand for anything else.
	Fixed []string
	// Untagged is how long a manifest stays that nothing holds and nobody wants: at least a day; 0 = UntaggedLife,
	// less than 0 = for good.
	Untagged time.Duration
	// Named returns the blobs that releases and lock files name, which hold manifests too; nil = nothing is named. It is
	// called when a sweep is about to remove something.
	Named func(ctx context.Context) (map[digest.Digest]bool, error)
	Log   *slog.Logger // nil = none
	// Now is the time that is noted; nil = the machine's.
	Now func() time.Time
}

// UntaggedLife is how long a manifest stays that nothing holds and nobody wants, unless Options say otherwise.
const UntaggedLife = 14 * 24 * time.Hour

// Registry is safe for concurrent use. Run must run beside it, and Close ends it.
type Registry struct {
	blobs Store
	facts *db.DB
	o     Options

	mostOpen, mostUploads int // the constants, but in tests

	mu      sync.Mutex
	uploads map[string]*upload // that are open, by id
}

// Open returns the registry whose bytes are in blobs and whose facts are in facts; both stay the caller's.
func Open(blobs Store, facts *db.DB, o Options) (*Registry, error) {
	for _, p := range o.Fixed {
		if _, err := path.Match(p, ""); err != nil {
			return nil, errs.Errorf(errs.Invalid, "pattern of repositories %.100q: %w", p, err)
		}
	}
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Untagged = cmp.Or(o.Untagged, UntaggedLife); o.Untagged > 0 {
		o.Untagged = max(o.Untagged, uploadLife)
	}
	if err := blobs.Claim(store.ClaimRegistry); err != nil {
		return nil, err
	}
	return &Registry{blobs: blobs, facts: facts, o: o, mostOpen: mostOpen, mostUploads: mostUploads, uploads: map[string]*upload{}}, nil
}

// deletes returns an error (errs.Denied) unless clients may delete.
func (r *Registry) deletes() error {
	if r.o.Delete {
		return nil
	}
	return fail(errs.Denied, Unsupported, "nothing is deleted in this registry")
}

// fixed reports whether tags of the repository name may not move.
func (r *Registry) fixed(name Name) bool {
	return slices.ContainsFunc(r.o.Fixed, func(p string) bool {
		ok, _ := path.Match(p, string(name)) // Open has checked it
		return ok
	})
}

// Below reports whether a repository is called first, or first and more parts, or may be by Options.Fixed.
func (r *Registry) Below(ctx context.Context, first string) (bool, error) {
	for _, p := range r.o.Fixed {
		if part, _, _ := strings.Cut(p, "/"); part == first {
			return true, nil
		}
	}
	return r.facts.RepositoryBelow(ctx, first)
}

// resolve returns the blob that d names; errs.NotFound for a sha512 that nobody has pushed.
func (r *Registry) resolve(ctx context.Context, d Digest) (digest.Digest, error) {
	if d.SHA512() {
		return r.facts.RegistryAlias(ctx, string(d))
	}
	return digest.Parse(string(d))
}

// names returns the names of blob d: its sha256, and its sha512 when that is known.
func (r *Registry) names(ctx context.Context, d digest.Digest) ([]string, error) {
	more, err := r.facts.RegistryAliases(ctx, d)
	return append([]string{string(d)}, more...), err
}

// unknown returns err, of which errs.NotFound becomes an error with that code.
func unknown(err error, code Code, what string) error {
	if errs.KindOf(err) == errs.NotFound {
		return fail(errs.NotFound, code, "%s is not in this repository", what)
	}
	return err
}

// have notes that name has the blob, keeps it from a collection that is under way, and makes sure that it is there.
func (r *Registry) have(ctx context.Context, name Name, d digest.Digest) error {
	if err := r.facts.AddRegistryBlob(ctx, string(name), d, r.o.Now()); err != nil {
		return err
	}
	return r.blobs.Touch(d)
}

// Blob opens the blob d of the repository; the caller closes it. Its error is errs.NotFound also for a blob that only
// others have. keep says that the client may be about to push what points to it.
func (r *Registry) Blob(ctx context.Context, name Name, d Digest, keep bool) (store.Blob, error) {
	b, err := r.find(ctx, name, d)
	if err != nil {
		return nil, unknown(err, BlobUnknown, "blob "+string(d))
	}
	if keep {
		if err := r.have(ctx, name, b); err != nil {
			return nil, unknown(err, BlobUnknown, "blob "+string(d))
		}
	}
	open, err := r.blobs.Open(ctx, b)
	return open, unknown(err, BlobUnknown, "blob "+string(d))
}

// find returns the blob d of the repository, or an error of kind NotFound.
func (r *Registry) find(ctx context.Context, name Name, d Digest) (digest.Digest, error) {
	b, err := r.resolve(ctx, d)
	if err != nil {
		return "", err
	}
	there, err := r.facts.HasRegistryBlob(ctx, string(name), b)
	if err == nil && !there {
		err = errs.Errorf(errs.NotFound, "blob %s", d)
	}
	return b, err
}

// RemoveBlob takes the blob d out of the repository. The bytes stay until a collection.
func (r *Registry) RemoveBlob(ctx context.Context, name Name, d Digest) error {
	if err := r.deletes(); err != nil {
		return err
	}
	b, err := r.find(ctx, name, d)
	if err != nil {
		return unknown(err, BlobUnknown, "blob "+string(d))
	}
	names, err := r.names(ctx, b)
	if err != nil {
		return err
	}
	return unknown(r.facts.RemoveRegistryBlob(ctx, string(name), b, names), BlobUnknown, "blob "+string(d))
}

// Mount gives the repository the blob d of another one, from; of any for which may is true when from is "". It reports
// whether there was one.
func (r *Registry) Mount(ctx context.Context, name, from Name, d Digest, may func(Name) bool) (bool, error) {
	b, err := r.resolve(ctx, d)
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	in, err := r.facts.RegistryBlobIn(ctx, b)
	if err != nil || !slices.ContainsFunc(in, func(n string) bool { return (from == "" || n == string(from)) && may(Name(n)) }) {
		return false, err
	}
	err = r.have(ctx, name, b)
	if errs.KindOf(err) == errs.NotFound {
		return false, nil // collected meanwhile
	}
	return err == nil, err
}

// Roots calls visit for each blob that has to stay for the registry's sake.
func (r *Registry) Roots(ctx context.Context, visit func(digest.Digest) error) error {
	return r.facts.RegistryBlobs(ctx, visit)
}

// Close ends the uploads that are open; they can be resumed.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all error
	for id, u := range r.uploads {
		all = errors.Join(all, u.close())
		delete(r.uploads, id)
	}
	return all
}
