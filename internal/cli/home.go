package cli

import (
	"os"
	"path/filepath"

	"golang.org/x/term"

	"overland/internal/errs"
	"overland/internal/operator"
	storedir "overland/internal/store/dir"
	"overland/internal/trust/repository"
)

// call returns what do makes of the site directory, which must be there: a slip in --home makes nothing.
func call[T any](a *app, do func(*operator.Pipeline) (T, error)) (T, error) {
	return callIn(a, false, do)
}

// callFirst is call for the verbs that a newcomer begins with: a site directory that is missing is made.
func callFirst[T any](a *app, do func(*operator.Pipeline) (T, error)) (T, error) {
	return callIn(a, true, do)
}

// callIn shows progress, which is gone from the screen afterwards.
func callIn[T any](a *app, first bool, do func(*operator.Pipeline) (T, error)) (T, error) {
	var none T
	dir, err := a.dir()
	if err != nil {
		return none, err
	}
	var warnings []string
	defer func() { a.warn(warnings...) }()
	bar := a.bar()
	defer bar.Close()
	agents := a.agents
	if agents == "" {
		agents = a.Getenv("OVERLAND_AGENTS")
	}
	p, err := operator.Open(dir, operator.Options{
		Make: first, Agents: agents, Compiled: a.Getenv("OVERLAND_COMPILED"), Clock: a.Clock, Passphrase: a.passphrase, Progress: bar.Show,
		Warn: func(s string) { warnings = append(warnings, s) },
	})
	if err != nil {
		return none, err
	}
	if p.New() && a.home != "" { // it may be a slip
		a.note("a new site directory: %s", dir)
	}
	return do(p)
}

// signed is call for what works on the signed metadata.
func signed[T any](a *app, do func(*repository.Repository) (T, error)) (T, error) {
	return call(a, func(p *operator.Pipeline) (T, error) {
		repo, err := p.Repository()
		if err != nil {
			var none T
			return none, err
		}
		return do(repo)
	})
}

// change is signed for what has no result but that it was done.
func (a *app) change(do func(*repository.Repository) error) error {
	_, err := signed(a, func(repo *repository.Repository) (struct{}, error) { return struct{}{}, do(repo) })
	return err
}

// depot returns the blobs of the site directory, and where that is. Unless first is set it must be there.
func (a *app) depot(first bool) (*storedir.Store, string, error) {
	dir, err := a.dir()
	if err != nil {
		return nil, "", err
	}
	p, err := operator.Open(dir, operator.Options{Make: first})
	if err != nil {
		return nil, "", errs.Hint(err, "with a network: overland record -- COMMAND; --home DIR names another one")
	}
	return p.Depot(), dir, nil
}

// dir returns the site directory.
func (a *app) dir() (string, error) {
	if a.home != "" {
		return filepath.Abs(a.home)
	}
	if d := a.Getenv("OVERLAND_HOME"); d != "" {
		return filepath.Abs(d)
	}
	if d := a.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "overland"), nil
	}
	home := a.Getenv("HOME")
	if home == "" {
		return "", errs.Hint(usage("no site directory"), "give --home DIR or set OVERLAND_HOME")
	}
	return filepath.Join(home, ".local", "share", "overland"), nil
}

// passphrase returns the passphrase of the key called name: $OVERLAND_PASSPHRASE, or what a person types.
func (a *app) passphrase(name string) ([]byte, error) {
	if s := a.Getenv("OVERLAND_PASSPHRASE"); s != "" {
		return []byte(s), nil
	}
	in, ok := a.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, errs.Hint(errs.Errorf(errs.Denied, "key %s has a passphrase, and there is nobody to ask", name),
			"set OVERLAND_PASSPHRASE")
	}
	a.prompt("passphrase of key %s: ", name)
	b, err := term.ReadPassword(int(in.Fd()))
	a.prompt("\n")
	return b, err
}
