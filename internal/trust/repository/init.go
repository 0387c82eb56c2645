package repository

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

// InitOptions are the settings of a new Repository; the zero value works.
type InitOptions struct {
	Options
	RootKeys  []string // key names; empty: "root". Keys that are missing are made
	Threshold int      // how many root keys must sign; 0: 1
}

// Init makes a repository in files, and the keys that are missing. errs.Conflict when
// there is a repository already.
func Init(ctx context.Context, files Files, keys Keys, o InitOptions) (*Repository, error) {
	r := newRepository(files, keys, o.Options)
	if len(o.RootKeys) == 0 {
		o.RootKeys = []string{KeyRoot}
	}
	o.Threshold = max(o.Threshold, 1)
	for {
		err := r.init(ctx, o)
		if errors.Is(err, ErrMoved) && ctx.Err() == nil {
			continue // another one makes it: the next look finds it
		}
		if err != nil {
			return nil, fmt.Errorf("init trust: %w", err)
		}
		return r, nil
	}
}

func (r *Repository) init(ctx context.Context, o InitOptions) error {
	if o.Threshold > len(o.RootKeys) {
		return errs.Errorf(errs.Invalid, "%d of %d root keys must sign", o.Threshold, len(o.RootKeys))
	}
	names, rev, err := r.files.List(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(names, timestampFile) {
		return errs.Hint(errs.Errorf(errs.Conflict, "there is a trust repository already"), "overland trust show")
	}
	t := &tx{r: r, s: &State{files: r.files, rev: rev, names: names}, signer: r.keys.ByID}
	if t.now, err = r.now(t.s); err != nil {
		return err
	}
	root, err := t.firstRoot(o)
	if err != nil {
		return err
	}
	targets := metadata.Targets(t.now.Add(r.o.Expiry.Targets))
	targets.Signed.Version = 0
	t.s.roles = map[string]*trust.TargetsMetadata{metadata.TARGETS: targets}
	if err := t.putRoot(root); err != nil {
		return err
	}
	if err := t.publish(map[string]*trust.TargetsMetadata{metadata.TARGETS: t.next(targets)}, nil); err != nil {
		return err
	}
	return t.flush(ctx)
}

// firstRoot returns root 1, signed.
func (t *tx) firstRoot(o InitOptions) (*trust.RootMetadata, error) {
	root := metadata.Root(t.now.Add(t.r.o.Expiry.Root))
	root.Signed.UnrecognizedFields = stamp(nil, t.now)
	add := func(role, name string) error {
		pub, err := havingKey(t.r.keys, name)
		if err != nil {
			return err
		}
		return addKey(root.Signed.Keys, &root.Signed.Roles[role].KeyIDs, pub)
	}
	for _, name := range o.RootKeys {
		if err := add(metadata.ROOT, name); err != nil {
			return nil, err
		}
	}
	root.Signed.Roles[metadata.ROOT].Threshold = o.Threshold
	for _, k := range []struct{ role, key string }{
		{metadata.TARGETS, KeyTargets}, {metadata.SNAPSHOT, KeyOnline}, {metadata.TIMESTAMP, KeyOnline},
	} {
		if err := add(k.role, k.key); err != nil {
			return nil, err
		}
	}
	if _, err := sign(t.signer, root, root.Signed.Roles[metadata.ROOT].KeyIDs); err != nil {
		return nil, err
	}
	if err := root.VerifyDelegate(metadata.ROOT, root); err != nil {
		err = errs.Errorf(errs.Denied, "%d of the root keys must sign the first root, and fewer are here: %w", o.Threshold, err)
		return nil, errs.Hint(err, "start with a root key of this machine, then overland trust add-signer root KEY --threshold %d", o.Threshold)
	}
	return root, nil
}

// havingKey returns the key name, made when it is missing; another process
// may make it at the same moment.
func havingKey(keys Keys, name string) (trust.PublicKey, error) {
	pub, err := keys.Public(name)
	if errs.KindOf(err) != errs.NotFound {
		return pub, err
	}
	pub, err = keys.New(name, nil)
	if errs.KindOf(err) == errs.Conflict {
		return keys.Public(name)
	}
	return pub, err
}

// addKey adds pub to a delegator's keys and to one role's key ids.
func addKey(keys map[string]*metadata.Key, ids *[]string, pub trust.PublicKey) error {
	k, err := metadata.KeyFromPublicKey(pub.Key)
	if err != nil {
		return err
	}
	keys[pub.ID] = k
	if !slices.Contains(*ids, pub.ID) {
		*ids = append(*ids, pub.ID)
	}
	return nil
}
