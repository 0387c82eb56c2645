package cli

import (
	"os"
	"path/filepath"

	"golang.org/x/term"

	"overland/internal/errs"
	"overland/internal/pipeline"
)

// open returns the pipeline of the site directory. end stops the progress on the screen and must be called before
// anything else is printed there.
func (a *app) open() (p *pipeline.Pipeline, end func(), err error) {
	dir, err := a.dir()
	if err != nil {
		return nil, nil, err
	}
	show := newProgress(a.Stderr, a.quiet)
	agents := a.agents
	if agents == "" {
		agents = a.Getenv("OVERLAND_AGENTS")
	}
	p, err = pipeline.Open(dir, pipeline.Options{
		Agents: agents, Compiled: a.Getenv("OVERLAND_COMPILED"), Clock: a.Clock, Passphrase: a.passphrase, Progress: show.event,
	})
	return p, show.end, err
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
