package stage

import (
	"maps"
	"slices"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/errs"
)

// crowded returns the index of an application of list that cannot have a port or a command which it
// declares, and why; no error when each can. The one that has it on this node already keeps it, whatever the other's
// signers say; of two that are new here, the first of list.
func (s *Stager) crowded(list []node.App) (int, error) {
	for a, one := range list {
		for b, other := range list[:a] {
			if name := appfile.SameCommand(one.Commands, other.Commands); name != "" {
				had := func(old *node.App) bool { return old.Commands[name] != "" }
				if s.claim(other, had) < s.claim(one, had) {
					a, one, other = b, other, one
				}
				return a, errs.Errorf(errs.Conflict, "command %s of application %s is one of %s already", name, one.App, other.App)
			}
			service, rival := collision(one, other)
			if rival.name == "" {
				continue
			}
			loser, weakest := a, s.claim(one, service.runs)
			if claim := s.claim(other, rival.runs); claim < weakest {
				loser, weakest = b, claim
				service, rival = rival, service
			}
			if weakest == unchanged {
				continue // an agent from before took both
			}
			return loser, errs.Hint(errs.Errorf(errs.Conflict, "service %s needs port %s, which service %s has", service.name, service.port, rival.name),
				"give one of them another port, or one address of this machine: ports: [\"127.0.0.1:%d\"]", service.port.Number)
		}
	}
	return 0, nil
}

// Claims to a port or a command, the stronger the higher.
const (
	newcomer  = iota // it did not have it here
	owner            // the version that runs here has it
	unchanged        // it runs here as it is
)

func (s *Stager) claim(app node.App, had func(old *node.App) bool) int {
	old := s.runs(app.App)
	if old == nil {
		return newcomer
	}
	if old.Release == app.Release {
		return unchanged
	}
	if had(old) {
		return owner
	}
	return newcomer
}

// served is a port and the service app.service that declares it.
type served struct {
	name string
	port appfile.Port
}

// runs reports whether old has the port.
func (p served) runs(old *node.App) bool {
	has, _ := appfile.PortOf(old.Services, p.port)
	return has != ""
}

// collision returns services of app and of other that cannot both have their port; without names
// when there are none.
func collision(app, other node.App) (service, rival served) {
	for _, name := range slices.Sorted(maps.Keys(app.Services)) {
		for _, p := range app.Services[name].Ports {
			if has, q := appfile.PortOf(other.Services, p); has != "" {
				return served{app.App + "." + name, p}, served{other.App + "." + has, q}
			}
		}
	}
	return served{}, served{}
}
