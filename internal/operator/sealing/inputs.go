package sealing

import (
	"context"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/nodeapi"
	"overland/internal/progress"
	"overland/internal/release"
	"overland/internal/release/inspect"
	"overland/internal/store"
)

// Inputs is what one release in a volume was built from.
type Inputs struct {
	Release string `json:"release"` // "wallet@r412.…"
	nodeapi.Inputs
}

// addInputs adds what the wanted releases were built from, when that was asked for. It
// is an error when none names any.
func (c *Choice) addInputs(ctx context.Context) error {
	if !c.o.Inputs {
		return nil
	}
	var without []string
	for _, e := range c.all {
		if !e.wanted || e.Entry.App == release.AgentApp {
			continue
		}
		if e.Release.Inputs == nil {
			without = append(without, e.Entry.Ref().String())
			continue
		}
		in, err := CompleteInputs(ctx, c.depot, e.Release)
		if err != nil {
			return err
		}
		c.extra = append(c.extra, in.All()...)
		d, err := inspect.Inputs(ctx, inspect.Depot{Blobs: c.depot}, *e.Release.Inputs)
		if err != nil {
			return err
		}
		c.Inputs = append(c.Inputs, Inputs{e.Entry.Ref().String(), *d})
	}
	switch {
	case len(c.extra) == 0:
		return WithoutLock(strings.Join(without, ", "))
	case len(without) > 0:
		c.Warnings = append(c.Warnings, fmt.Sprintf("no inputs of %s are sealed: there is no overland.lock in its commit", strings.Join(without, ", ")))
	}
	return nil
}

// WithoutLock returns the error for a release without inputs to seal.
func WithoutLock(what string) error {
	return errs.Hint(errs.Errorf(errs.NotFound, "%s: built from a commit without overland.lock, so there are no inputs to seal", what),
		"overland record -- overland build, commit overland.lock, and release that commit")
}

// CompleteInputs returns the inputs of r, all of which must be in the depot.
func CompleteInputs(ctx context.Context, depot store.Store, r *release.Release) (*release.Inputs, error) {
	in, err := release.ReadInputs(ctx, depot, *r.Inputs)
	if err != nil {
		return nil, errs.Hint(fmt.Errorf("inputs of %s: %w", r.Ref(), err), "release the same commit again where its repository is: overland release --rev %.12s", r.Commit)
	}
	missing, err := Missing(ctx, depot, in.All())
	if err != nil {
		return nil, fmt.Errorf("inputs of %s: %w", r.Ref(), err)
	}
	if len(missing) == 0 {
		return in, nil
	}
	lock, err := inspect.Lock(ctx, depot, in)
	if err != nil {
		lock = &lockfile.Lock{} // the lock itself is missing
	}
	return nil, MissingInputs(r.Ref(), lock, missing, len(in.Blobs))
}

// Missing returns those blobs of list that are not in the depot.
func Missing(ctx context.Context, depot store.Store, list []ocispec.Descriptor) ([]digest.Digest, error) {
	var missing []digest.Digest
	for _, b := range list {
		there, err := store.HasSize(ctx, depot, b.Digest, b.Size)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, b.Digest)
		}
	}
	return missing, nil
}

// MissingInputs returns the error that some of ref's inputs are missing, by the
// names that the lock has for them.
func MissingInputs(ref release.Ref, lock *lockfile.Lock, missing []digest.Digest, inputs int) error {
	names := make([]string, len(missing))
	for i, d := range missing {
		names[i] = string(d)
		if at := slices.IndexFunc(lock.Entries, func(e lockfile.Entry) bool { return e.Blob == d }); at >= 0 {
			names[i] = lock.Entries[at].Protocol + " " + lock.Entries[at].Key
		}
	}
	return errs.Hint(errs.Errorf(errs.NotFound, "%d of %d inputs of %s are not in the depot: %s", len(missing), inputs, ref, progress.Some(names)),
		"with a network, in its repository: overland record -- COMMAND fetches what is locked; or use the depot where it was recorded")
}
