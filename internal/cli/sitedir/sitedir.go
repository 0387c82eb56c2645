package sitedir

import (
	"cmp"
	"context"
	"errors"

	"overland/internal/cli/term"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/site"
	storedir "overland/internal/store/dir"
	"overland/internal/trust/keys"
	"overland/internal/trust/repository"
)

// Call opens the site directory, which must exist, and returns what do returns. A
// mistyped --home makes nothing.
func Call[T any](t *term.Term, do func(*operator.Operator) (T, error)) (T, error) {
	return With(t, Options{}, do)
}

// Maybe is like Call, for verbs that also work on files: without a site directory it calls do with nil.
func Maybe[T any](t *term.Term, do func(*operator.Operator) (T, error)) (T, error) {
	made, err := Call(t, do)
	if errors.Is(err, operator.ErrNoSite) {
		return do(nil)
	}
	return made, err
}

// Which returns the release that what, an argument, names; false when it is a file.
func Which(ctx context.Context, t *term.Term, what string) (ref release.Ref, released bool, err error) {
	_, err = Maybe(t, func(p *operator.Operator) (_ struct{}, err error) {
		ref, released, err = p.Which(ctx, what)
		return struct{}{}, err
	})
	return ref, released, err
}

// First is Call for the verbs that a newcomer begins with: a site
// directory that is missing is made.
func First[T any](t *term.Term, do func(*operator.Operator) (T, error)) (T, error) {
	return With(t, Options{Make: true}, do)
}

// Options say how the site directory is opened.
type Options struct {
	Make   bool   // make it when it is missing
	Agents string // folder of agent programs; "" = $OVERLAND_AGENTS
}

// With is Call with options. Progress and warnings are shown while do runs.
func With[T any](t *term.Term, o Options, do func(*operator.Operator) (T, error)) (T, error) {
	var none T
	dir, err := t.SiteDir()
	if err != nil {
		return none, err
	}
	rootKeys, err := t.RootKeysDir()
	if err != nil {
		return none, err
	}
	bar := t.Bar()
	defer bar.Close()
	p, err := operator.Open(dir, operator.Options{
		Make: o.Make, Agents: cmp.Or(o.Agents, t.Getenv("OVERLAND_AGENTS")), Compiled: t.Getenv("OVERLAND_COMPILED"),
		Clock: t.Clock, RootKeys: rootKeys, Version: t.Version,
		Isolated: func() (bool, error) {
			s, err := site.ReadSettings(dir)
			return s.Isolation == site.IsolationRequired, err
		},
	})
	if err != nil {
		return none, err
	}
	if p.New() && t.Home != "" { // it may be a slip
		t.Note("a new site directory: %s", dir)
	}
	return do(p.With(operator.Callbacks{
		Asks: keys.Asks{Passphrase: t.Passphrase, NewPassphrase: newPassphrase(t)}, Progress: bar.Show, Warn: func(s string) { bar.Aside(func() { t.Warn(s) }) },
	}))
}

// newPassphrase returns what asks for the passphrase of a new key. The online key has none: a site
// signs with it while nobody is there.
func newPassphrase(t *term.Term) func(name string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if name == repository.KeyOnline || name == repository.KeyOnline+".next" {
			return []byte{}, nil
		}
		return t.NewPassphrase(name)
	}
}

// Signed is Call for what works on the signed metadata.
func Signed[T any](ctx context.Context, t *term.Term, do func(*repository.Repository) (T, error)) (T, error) {
	return Call(t, func(p *operator.Operator) (T, error) {
		repo, err := p.Repository(ctx)
		if err != nil {
			var none T
			return none, err
		}
		return do(repo)
	})
}

// Change is Signed for what has no result but that it was done.
func Change(ctx context.Context, t *term.Term, do func(*repository.Repository) error) error {
	_, err := Signed(ctx, t, func(repo *repository.Repository) (struct{}, error) { return struct{}{}, do(repo) })
	return err
}

// Depot returns the blobs of the site directory, and its path. Unless create is set
// the site directory must exist.
func Depot(t *term.Term, create bool) (*storedir.Store, string, error) {
	dir, err := t.SiteDir()
	if err != nil {
		return nil, "", err
	}
	p, err := operator.Open(dir, operator.Options{Make: create})
	if err != nil {
		return nil, "", errs.Hint(err, "with a network: overland record -- COMMAND; --home DIR names another one")
	}
	return p.Depot(), dir, nil
}
