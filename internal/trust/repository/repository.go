package repository

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/keys"
)

// Options are the settings of a Repository; the zero value works.
type Options struct {
	FS     fsx.FS
	Clock  clock.Clock // nil: the machine's
	Expiry Expiry
}

// Expiry is how long each kind of metadata is valid after it was signed. Zero fields: 730, 365, 60 and 14
// days.
type Expiry struct{ Root, Targets, Snapshot, Timestamp time.Duration }

const day = 24 * time.Hour

// defaultExpiry suits a site that signs anew by itself: a node that is cut off learns within two weeks that it may be
// kept from news, and the keys that people hold are needed once a year.
func defaultExpiry() Expiry {
	return Expiry{Root: 730 * day, Targets: 365 * day, Snapshot: 60 * day, Timestamp: 14 * day}
}

// InitOptions are the settings of a new Repository; the zero value works.
type InitOptions struct {
	Options
	RootKeys  []string // key names; empty: "root". Keys that are missing are made, without a passphrase
	Threshold int      // how many root keys must sign; 0: 1
}

// The names of the keys that sign when nobody said otherwise.
const (
	KeyRoot    = "root"    // who the others are
	KeyTargets = "targets" // who may release and promote
	KeyOnline  = "online"  // snapshot and timestamp
	KeyRelease = "release" // app/…
	KeyPromote = "promote" // channel/…
)

// Repository is the operator's signed metadata. It is safe for concurrent use, also by several processes: changes wait
// for each other, and readers see the state before or after one.
type Repository struct {
	dir  string
	keys *keys.Dir
	o    Options

	mu sync.Mutex
	fp trust.Fingerprint
}

// OpenRepository opens the repository in directory dir. errs.NotFound when there is none.
func Open(dir string, keys *keys.Dir, o Options) (*Repository, error) {
	r := newRepository(dir, keys, o)
	if _, err := os.Stat(r.path("timestamp.json")); errors.Is(err, fs.ErrNotExist) {
		err := errs.Errorf(errs.NotFound, "no trust repository in %s", dir)
		return nil, errs.Hint(err, "overland trust init")
	}
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	return r, r.newRoot(s.root)
}

func newRepository(dir string, keys *keys.Dir, o Options) *Repository {
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
	return &Repository{dir: dir, keys: keys, o: o}
}

// InitRepository makes a repository in directory dir, and the keys that are missing. errs.Conflict when there is a
// repository already.
func Init(ctx context.Context, dir string, keys *keys.Dir, o InitOptions) (*Repository, error) {
	r := newRepository(dir, keys, o.Options)
	if len(o.RootKeys) == 0 {
		o.RootKeys = []string{KeyRoot}
	}
	threshold := max(o.Threshold, 1)
	if threshold > len(o.RootKeys) {
		return nil, errs.Errorf(errs.Invalid, "init trust: %d of %d root keys must sign", threshold, len(o.RootKeys))
	}
	if err := r.o.FS.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("init trust: %w", err)
	}
	unlock, err := r.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("init trust: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(r.path("timestamp.json")); err == nil {
		err := errs.Errorf(errs.Conflict, "init trust: there is a repository in %s", dir)
		return nil, errs.Hint(err, "overland trust show")
	}
	now, err := r.now(nil)
	if err != nil {
		return nil, fmt.Errorf("init trust: %w", err)
	}
	root := metadata.Root(now.Add(r.o.Expiry.Root))
	root.Signed.UnrecognizedFields = stamp(nil, now)
	add := func(role, name string) error {
		pub, err := keys.Public(name)
		if errs.KindOf(err) == errs.NotFound {
			pub, err = keys.New(name, nil)
		}
		if err != nil {
			return err
		}
		return addKey(root.Signed.Keys, &root.Signed.Roles[role].KeyIDs, pub)
	}
	for _, name := range o.RootKeys {
		if err := add(metadata.ROOT, name); err != nil {
			return nil, fmt.Errorf("init trust: %w", err)
		}
	}
	root.Signed.Roles[metadata.ROOT].Threshold = threshold
	for _, k := range []struct{ role, key string }{
		{metadata.TARGETS, KeyTargets}, {metadata.SNAPSHOT, KeyOnline}, {metadata.TIMESTAMP, KeyOnline},
	} {
		if err := add(k.role, k.key); err != nil {
			return nil, fmt.Errorf("init trust: %w", err)
		}
	}
	if _, err := sign(keys, root, root.Signed.Roles[metadata.ROOT].KeyIDs); err != nil {
		return nil, fmt.Errorf("init trust: %w", err)
	}
	if err := root.VerifyDelegate(metadata.ROOT, root); err != nil {
		err = errs.Errorf(errs.Denied, "init trust: %d of the root keys must sign the first root, and fewer are here: %w", threshold, err)
		return nil, errs.Hint(err, "start with a root key of this machine, then overland trust add-signer root KEY --threshold %d", threshold)
	}
	s := &state{root: root, roles: map[string]*trust.TargetsMetadata{}}
	targets := metadata.Targets(now.Add(r.o.Expiry.Targets))
	targets.Signed.Version = 0
	if err := r.write(trust.WireName("root", 1), root); err != nil {
		return nil, fmt.Errorf("init trust: %w", err)
	}
	if err := r.publish(s, now, map[string]*trust.TargetsMetadata{metadata.TARGETS: r.next(targets, now)}, nil); err != nil {
		return nil, fmt.Errorf("init trust: %w", err)
	}
	return r, r.newRoot(root)
}

// newRoot remembers the fingerprint of root.
func (r *Repository) newRoot(root *trust.RootMetadata) error {
	fp, err := trust.FingerprintOfRoot(root)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fp = fp
	return err
}

// Fingerprint returns the fingerprint of the newest root: what a node is told to trust.
func (r *Repository) Fingerprint() trust.Fingerprint {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fp
}

// Metadata returns the file name, so a Repository is a MetadataSource.
func (r *Repository) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	return trust.DirSource(r.dir).Metadata(ctx, name, limit)
}

// Names returns the names of all files that a client needs: every root, and the current timestamp, snapshot, targets
// and delegated roles. It is what a volume carries.
func (r *Repository) Names() ([]string, error) {
	s, err := r.load()
	if err != nil {
		return nil, err
	}
	var names []string
	for v := int64(1); v <= s.root.Signed.Version; v++ {
		names = append(names, trust.WireName("root", v))
	}
	names = append(names, "timestamp.json", trust.WireName("snapshot", s.snapshot.Signed.Version))
	var roles []string
	for file, m := range s.snapshot.Signed.Meta {
		roles = append(roles, trust.WireName(strings.TrimSuffix(file, ".json"), m.Version))
	}
	slices.Sort(roles)
	return append(names, roles...), nil
}

// lock waits until no other change, of this process or another, is under way.
func (r *Repository) lock(ctx context.Context) (func(), error) {
	l, err := trust.WaitLock(ctx, r.path("lock"))
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}

func (r *Repository) path(name string) string { return filepath.Join(r.dir, name) }

// earliest is before every signature that was ever made here: a clock below it is wrong.
var earliest = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// now returns the signing time, which never falls: nodes take it for the lowest time that can be.
func (r *Repository) now(s *state) (time.Time, error) {
	now := r.o.Clock().UTC().Truncate(time.Second)
	if s != nil && s.timestamp != nil {
		last, err := trust.SignedAt(s.timestamp.Signed.UnrecognizedFields)
		if err != nil {
			return time.Time{}, err
		}
		now = slices.MaxFunc([]time.Time{now, last}, time.Time.Compare)
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
	for k, v := range fields {
		out[k] = v
	}
	out[trust.SignedAtField] = now.Format(time.RFC3339)
	return out
}
