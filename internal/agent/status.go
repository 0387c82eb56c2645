package agent

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"overland/internal/agent/node"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/printer"
	"overland/internal/runtime"
	"overland/internal/trust/client"
)

// Status returns the state of the node.
func (a *Agent) Status() nodeapi.Status {
	st := a.node.State()
	s := statusOf(a.dir, st, nil)
	number := st.Current
	if st.Intent != nil {
		number = st.Intent.Generation
	}
	if number > 0 {
		if g, err := a.node.Generation(number); err == nil {
			s = statusOf(a.dir, st, g)
		}
	}
	s.PID, s.Agent, s.Platform = os.Getpid(), a.o.Version, string(a.o.Platform)
	s.Root, s.Running = a.stager.Root(), a.running.Load()
	s.Freshness, s.Last, s.Report = a.stager.Freshness(), a.follower.Last(), a.switcher.Report()
	s.Returned, s.Problems = a.stager.Returned(), a.node.Problems()
	a.switcher.Fill(s.Services)
	return s
}

// statusOf returns what the disk says: state st of dir, whose generation is
// g (nil = none, or unreadable).
func statusOf(dir string, st node.State, g *node.Generation) nodeapi.Status {
	s := nodeapi.Status{
		Schema: 1, Dir: dir, Root: st.Settings.Root, Channel: st.Settings.Channel, Sites: st.Settings.Sites, Watch: st.Settings.Watch,
		Generation: st.Current, Good: st.Good, Apps: []nodeapi.App{}, Services: []nodeapi.Service{},
	}
	if i := st.Intent; i != nil {
		s.Trial = &nodeapi.Trial{Generation: i.Generation, From: i.From, TriesLeft: i.Tries, Deadline: i.Deadline, Failed: i.Failed}
	}
	for _, b := range st.Bad {
		s.Refused = append(s.Refused, nodeapi.Refusal{Generation: b.Generation, Reason: b.Reason, At: b.At})
	}
	for _, p := range st.Programs {
		s.Refused = append(s.Refused, nodeapi.Refusal{Reason: "agent program " + p.Digest.String() + ": " + p.Reason})
	}
	if g == nil {
		return s
	}
	s.Apps = g.Info()
	for _, app := range g.Apps {
		for _, name := range slices.Sorted(maps.Keys(app.Services)) {
			full := app.App + "." + name
			spec := app.Services[name]
			one := nodeapi.Service{Name: full, State: "unknown", Kind: string(spec.Kind), Ports: spec.PortWords(), Log: node.LogPath(dir, full)}
			if spec.Kind == appfile.Task {
				one.State, one.Done = "not run", st.Did(full, app.Release)
				if one.Done {
					one.State = "done"
				}
			}
			s.Services = append(s.Services, one)
		}
	}
	return s
}

// Peek returns the status of directory dir when no agent runs there; services are "unknown".
// Nothing is changed. A directory without a node is errs.NotFound.
func Peek(dir string) (nodeapi.Status, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nodeapi.Status{}, err
	}
	st, g, err := node.Peek(dir)
	if err != nil && g == nil && st.Schema == 0 {
		return nodeapi.Status{}, err
	}
	s := statusOf(dir, st, g)
	if err != nil {
		s.Problems = append(s.Problems, printer.Error(err))
	}
	if c, err := client.Open(filepath.Join(dir, "trust"), client.Options{}); err == nil {
		s.Root = string(c.Fingerprint())
	}
	return s, nil
}

// PeekHistory returns the history of dir without its lock, oldest first.
func PeekHistory(dir string) ([]nodeapi.Event, error) {
	st, _, err := node.Peek(dir)
	if err != nil && st.Schema == 0 {
		return nil, err
	}
	return st.Events, nil
}

// PeekLogs returns the last lines of the log of service app.service in dir; of "" those of every
// service, each line with its service's name in front when there is more than one.
func PeekLogs(dir, service string, lines int) ([]string, error) {
	if lines <= 0 {
		lines = 50
	}
	paths := []string{node.LogPath(dir, service)}
	if service == "" {
		var err error
		if paths, err = filepath.Glob(filepath.Join(dir, "log", "*.log")); err != nil {
			return nil, err
		}
		slices.Sort(paths)
	} else if filepath.Base(service) != service {
		return nil, errs.Errorf(errs.Invalid, "service %q: not a name", service)
	}
	var list []string
	for _, path := range paths {
		tail, err := runtime.Tail(path, lines)
		if errors.Is(err, os.ErrNotExist) {
			return nil, errs.Hint(errs.Errorf(errs.NotFound, "service %s has no log here", service), "overland-agent status lists the services")
		}
		if err != nil {
			return nil, fmt.Errorf("logs of %s: %w", service, err)
		}
		if len(paths) > 1 {
			name := filepath.Base(path)
			for i := range tail {
				tail[i] = name[:len(name)-len(".log")] + ": " + tail[i]
			}
		}
		list = append(list, tail...)
	}
	return list, nil
}
