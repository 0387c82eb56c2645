package repository

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/trust"
)

// Options are the settings of a Repository; the zero value works.
type Options struct {
	Clock  clock.Clock // nil: the machine's
	Expiry Expiry
}

// Expiry is how long each kind of metadata is valid after it was signed. Zero
// fields: 730, 365, 60 and 14 days.
type Expiry struct{ Root, Targets, Snapshot, Timestamp time.Duration }

const day = 24 * time.Hour

// defaultExpiry suits a site that signs anew by itself: a node that is cut off learns within two
// weeks that it may be kept from news, and the keys that people hold are needed once a year.
func defaultExpiry() Expiry {
	return Expiry{Root: 730 * day, Targets: 365 * day, Snapshot: 60 * day, Timestamp: 14 * day}
}

// The names of the keys that sign when nobody said otherwise.
const (
	KeyRoot    = "root"    // who the others are
	KeyTargets = "targets" // who may release and promote
	KeyOnline  = "online"  // snapshot and timestamp
	KeyRelease = "release" // app/…
	KeyPromote = "promote" // channel/…
)

// Repository is the operator's signed metadata. It is safe for concurrent use, also by several
// processes: a change is made to the newest state, and made again when another writer was first;
// readers see the state before or after one.
type Repository struct {
	files Files
	keys  Keys
	o     Options
	last  *memory
}

// memory is the state that was read or written last.
type memory struct {
	mu    sync.Mutex
	state *State
}

// Open opens the repository in files, and reads it. errs.NotFound when there is none.
func Open(ctx context.Context, files Files, keys Keys, o Options) (*Repository, error) {
	names, _, err := files.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("open trust repository: %w", err)
	}
	if !slices.Contains(names, timestampFile) {
		return nil, errs.Hint(errs.Errorf(errs.NotFound, "there is no trust repository"), "overland trust init")
	}
	r := newRepository(files, keys, o)
	_, err = r.Read(ctx)
	return r, err
}

func newRepository(files Files, keys Keys, o Options) *Repository {
	o.Clock = o.Clock.Or()
	def := defaultExpiry()
	for _, e := range []struct{ set, or *time.Duration }{
		{&o.Expiry.Root, &def.Root},
		{&o.Expiry.Targets, &def.Targets},
		{&o.Expiry.Snapshot, &def.Snapshot},
		{&o.Expiry.Timestamp, &def.Timestamp},
	} {
		if *e.set == 0 {
			*e.set = *e.or
		}
	}
	return &Repository{files: files, keys: keys, o: o, last: &memory{}}
}

// With returns r for another holder of keys: what was read is shared, keys are not.
func (r *Repository) With(keys Keys) *Repository {
	out := *r
	out.keys = keys
	return &out
}

// Read returns the newest state. Nothing is opened when the files are as
// they were read or written last.
func (r *Repository) Read(ctx context.Context) (*State, error) {
	_, rev, err := r.files.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("trust repository: %w", err)
	}
	r.last.mu.Lock()
	s := r.last.state
	r.last.mu.Unlock()
	if s != nil && s.rev == rev {
		return s, nil
	}
	if s, err = read(ctx, r.files); err != nil {
		err = fmt.Errorf("trust repository: %w", err)
		return nil, errs.Hint(err, "bring the file back from a copy: a site, a node's source or any volume sealed since")
	}
	r.remember(s)
	return s, nil
}

func (r *Repository) remember(s *State) {
	r.last.mu.Lock()
	defer r.last.mu.Unlock()
	r.last.state = s
}

// Fingerprint returns the fingerprint of the root that was read or
// written last; see State.Fingerprint.
func (r *Repository) Fingerprint() trust.Fingerprint {
	r.last.mu.Lock()
	defer r.last.mu.Unlock()
	return r.last.state.Fingerprint()
}

// Metadata returns the file name of the newest state, so that a
// Repository is a trust.MetadataSource.
func (r *Repository) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	s, err := r.Read(ctx)
	if err != nil {
		return nil, err
	}
	return s.Metadata(ctx, name, limit)
}

// Show returns what the repository says, with the names that this machine has for keys.
func (r *Repository) Show(ctx context.Context) (*Info, error) {
	s, err := r.Read(ctx)
	if err != nil {
		return nil, err
	}
	known, err := r.keys.List()
	if err != nil {
		return nil, err
	}
	return s.Show(known)
}

// earliest is before every signature that was ever made here: a clock below it is wrong.
var earliest = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// now returns the signing time, which never falls: nodes take it for the lowest time that can be.
func (r *Repository) now(s *State) (time.Time, error) {
	now := r.o.Clock().UTC().Truncate(time.Second)
	if s.signed.After(now) {
		now = s.signed
	}
	if now.Before(earliest) {
		err := errs.Errorf(errs.Invalid, "this machine's clock says %s: what it signs would be expired everywhere",
			now.Format(time.RFC3339))
		return time.Time{}, errs.Hint(err, "set the clock")
	}
	return now, nil
}

// stamp returns fields with the signing time.
func stamp(fields map[string]any, now time.Time) map[string]any {
	out := map[string]any{}
	maps.Copy(out, fields)
	out[trust.SignedAtField] = now.Format(time.RFC3339)
	return out
}

// update makes one change of the newest state. change may be called several times: when another
// writer was first, it is given the state that this one has left. What change has completed is
// written even when it returns an error.
func (r *Repository) update(ctx context.Context, what string, change func(*tx) error) error {
	for {
		s, err := r.Read(ctx)
		if err == nil {
			err = r.attempt(ctx, s, change)
			if errors.Is(err, ErrMoved) && ctx.Err() == nil {
				continue
			}
		}
		return prefixed(what, err)
	}
}

// prefixed returns err with what was done in front of it; what may be "", and err nil.
func prefixed(what string, err error) error {
	if err == nil || what == "" {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// attempt makes one change of s; the error wraps ErrMoved when s is no longer the newest state.
func (r *Repository) attempt(ctx context.Context, s *State, change func(*tx) error) error {
	now, err := r.now(s)
	if err != nil {
		return err
	}
	t := &tx{r: r, s: s, now: now, signer: r.keys.ByID}
	err = change(t)
	if failed := t.flush(ctx); failed != nil {
		return failed
	}
	return err
}
