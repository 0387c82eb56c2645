package session

import (
	"context"
	"os/exec"

	"golang.org/x/sync/errgroup"

	"overland/internal/ecosystem/apk"
	"overland/internal/ecosystem/apt"
	"overland/internal/ecosystem/cargo"
	"overland/internal/ecosystem/golang"
	"overland/internal/ecosystem/npm"
	"overland/internal/ecosystem/pypi"
	"overland/internal/errs"
	"overland/internal/record"
)

// protocols returns those whose tools are on the machine, with the upstreams that the tools are configured for. A replay
// needs only those that its lock holds.
func (s *session) protocols(ctx context.Context) ([]record.Protocol, error) {
	wanted := func(tool, protocol string) bool {
		_, err := exec.LookPath(tool)
		return err == nil && (s.recording || s.o.Lock.Has(protocol))
	}
	g, ctx := errgroup.WithContext(ctx)
	if wanted("go", golang.Name) {
		g.Go(func() error { return s.openGo(ctx) })
	}
	if wanted("npm", "npm") {
		g.Go(func() error { return s.openNPM(ctx) })
	}
	if wanted("apt-get", "apt") {
		g.Go(func() error { return s.openAPT(ctx) })
	}
	if s.recording || s.o.Lock.Has(cargo.Name) {
		g.Go(func() error { return s.openCargo(ctx) })
	}
	if wanted("apk", apk.Name) {
		g.Go(s.openAPK)
	}
	if s.recording && pypi.Installed() || s.o.Lock.Has(pypi.Name) {
		s.pypi = pypi.Machine(s.getter)
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var list []record.Protocol
	if s.golang != nil {
		list = append(list, s.golang)
	}
	if s.npm != nil {
		list = append(list, s.npm)
	}
	if s.apt != nil {
		list = append(list, s.apt)
	}
	if s.pypi != nil {
		list = append(list, s.pypi)
	}
	if s.cargo != nil {
		list = append(list, s.cargo)
	}
	if s.apk != nil {
		list = append(list, s.apk)
	}
	return list, nil
}

func (s *session) openGo(ctx context.Context) (err error) {
	if s.goEnv, err = golang.ReadEnv(ctx, ""); err != nil {
		return err
	}
	if s.golang, err = golang.New(s.goEnv, s.getter); err != nil {
		return err
	}
	if s.recording || s.o.Lock.Has(golang.Name) {
		// A database that cannot be reached now is the go command's to judge: it may not need it. A lock without a tree was
		// recorded with the database off.
		_ = s.golang.Freeze(ctx)
	}
	return nil
}

func (s *session) openNPM(ctx context.Context) error {
	c, err := npm.MachineConfig(ctx, "")
	if err != nil {
		return err
	}
	s.npm, err = npm.New(c, s.getter)
	return err
}

// openCargo finds the registry, which the proxy then knows by its address. A cargo that has none, or is not there, is left
// to plain URLs.
func (s *session) openCargo(ctx context.Context) error {
	registry, err := cargo.Discover(ctx, s.o.WorkDir)
	if errs.KindOf(err) == errs.NotFound {
		if !s.recording {
			s.cargo = cargo.Machine(s.getter) // what is locked can still be proved
		}
		return nil
	}
	if err != nil {
		return err
	}
	s.registry = registry
	s.cargo, err = cargo.New(registry, s.getter)
	return err
}

func (s *session) openAPT(ctx context.Context) error {
	sources, err := apt.MachineSources()
	if !s.recording && len(s.o.Command) > 0 { // a replay, and not Verify, which needs this machine's keys
		sources, err = apt.LockedSources(ctx, s.o.Lock, s.o.Blobs, sources), nil
	}
	if err != nil {
		return err
	}
	s.apt, err = apt.New(sources, apt.Options{Locked: !s.recording})
	return err
}
