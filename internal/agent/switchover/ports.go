package switchover

import (
	"path/filepath"
	"strings"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/runtime"
)

// Ports refuses (errs.Conflict) a switch to g when a port of its services is held by anybody but what the
// switch stops or replaces: better than to stop what runs, and to find out then. What nobody can tell
// holds nothing up: the self-tests decide.
func (s *Switch) Ports(g *node.Generation) error {
	records, err := filepath.Glob(s.services.record("*"))
	if err != nil {
		return err
	}
	for _, app := range g.Apps {
		for name, spec := range app.Services {
			rt, err := s.services.runtimes.For(spec)
			if err != nil {
				continue // its start says so
			}
			for _, port := range spec.Ports {
				if err := s.free(rt, g, app.App+"."+name, port, records); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// free refuses when port of service is held by a stranger, or by another service of this node that
// goes on running in g. records are those of all services here.
func (s *Switch) free(rt runtime.Runtime, g *node.Generation, service string, port appfile.Port, records []string) error {
	list, err := runtime.Listening(rt, port, records)
	if err != nil {
		s.o.Log.Debug("port not looked at", "port", port.String(), "error", err)
		return nil
	}
	for _, l := range list {
		who := l.Who
		if l.Owner >= 0 {
			other := strings.TrimSuffix(filepath.Base(records[l.Owner]), ".json")
			if other == service || !s.stays(g, other) {
				continue
			}
			who = "service " + other
		} else if l.Owner == runtime.Untold {
			continue
		}
		return errs.Hint(errs.Errorf(errs.Conflict, "service %s needs port %s, on which %s listens: nothing was changed", service, port, who),
			"stop that one, or give the service another port or one address (ports: [\"127.0.0.1:%d\"]), then install again", port.Number)
	}
	return nil
}

// stays reports whether the service app.service that runs now is of a release that g has as well.
func (s *Switch) stays(g *node.Generation, service string) bool {
	app, name, _ := strings.Cut(service, ".")
	old, err := s.node.Generation(s.node.State().Current)
	if err != nil {
		return false
	}
	release := func(g *node.Generation) string {
		a := g.App(app)
		if a == nil {
			return ""
		}
		if _, has := a.Services[name]; !has {
			return ""
		}
		return string(a.Release)
	}
	return release(g) != "" && release(g) == release(old)
}
