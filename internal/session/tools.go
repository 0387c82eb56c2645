package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"overland/internal/ecosystem"
	"overland/internal/ecosystem/tool"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// client is a tool that uses the session.
type client struct {
	name string // of the protocol
	*tool.Client
}

// openTools opens the tools that fetch something here, with their configured upstreams. A replay
// needs only those for whose protocols its lock has entries. One that cannot say where it fetches
// from does not stop a command that may not use it: what it requests is recorded as plain URLs.
func (s *session) openTools(ctx context.Context) error {
	table := ecosystem.Table()
	opened := make([]*tool.Client, len(table))
	s.unfit = make([]error, len(table))
	g, ctx := errgroup.WithContext(ctx)
	for i, t := range table {
		if !s.recording && !s.o.Lock.Has(t.Name) {
			continue
		}
		g.Go(func() (err error) {
			opened[i], err = t.Record(ctx, tool.Session{
				Getter: s.getter, Recording: s.recording, Runs: len(s.o.Command) > 0,
				Lock: s.o.Lock, Blobs: s.o.Blobs, WorkDir: s.o.WorkDir, Etc: s.o.etc,
			})
			if err != nil && s.recording && ctx.Err() == nil {
				s.unfit[i] = fmt.Errorf("%s does not say where it fetches from: %w", t.Command, err)
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, c := range opened {
		if c != nil {
			s.clients = append(s.clients, client{table[i].Name, c})
			s.unfit = append(s.unfit, c.Unproved...)
			s.unrecorded = append(s.unrecorded, c.Unrecorded...)
		}
	}
	return nil
}

// protocols returns the protocols of the tools.
func (s *session) protocols() (list []record.Protocol) {
	for _, c := range s.clients {
		list = append(list, c.Protocol)
	}
	return list
}

// chosen returns l with the proofs of what this session recorded as its protocols choose them.
func (s *session) chosen(l *lockfile.Lock) *lockfile.Lock {
	entries := slices.Clone(l.Entries)
	for _, p := range s.protocols() {
		c, ok := p.(record.Chooser)
		for i, e := range entries {
			if old, there := s.o.Lock.Find(e.Protocol, e.Key); ok && e.Protocol == p.Name() && (!there || old != e) {
				entries[i].Proof = c.Choose(e)
			}
		}
	}
	return lockfile.New(entries)
}

// toolEnviron adds to set the variables that point the tools at the listener at base.
func (s *session) toolEnviron(set map[string]string, base string) error {
	for _, t := range ecosystem.Table() {
		for _, name := range t.Certificates {
			var err error
			if set[name], err = s.certificates(name); err != nil {
				return err
			}
		}
		if t.Caches != nil && !s.o.MachineCaches {
			add(set, t.Caches(s.caches, s.recording))
		}
	}
	for _, c := range s.clients {
		if c.Environ == nil {
			continue
		}
		env, err := c.Environ(tool.Place{
			Authority: s.ca, Proxy: base, Mount: base + "/" + c.name, Dir: s.caches, Environ: s.o.Environ, OwnCaches: !s.o.MachineCaches,
		})
		if err != nil {
			return err
		}
		add(set, env)
	}
	return nil
}

// besideMost is how long a session may ask, when its command has ended, for what other commands need.
const besideMost = 2 * time.Minute

// beside records what other commands of the same tools ask for beside what this one fetched. The
// first that does not answer ends it: then nobody waits for the others.
func (s *session) beside(ctx context.Context, r *record.Recorder) {
	ctx, cancel := context.WithTimeout(ctx, besideMost)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	const atOnce = 8
	g.SetLimit(atOnce)
	for _, c := range s.clients {
		if c.Beside == nil {
			continue
		}
		asked := r.Asked(c.name)
		for _, key := range asked {
			key = c.Beside(key)
			if _, has := slices.BinarySearch(asked, key); has || key == "" {
				continue
			}
			g.Go(func() error {
				it, err := record.ItemOf(c.Protocol, key)
				if err != nil {
					return err
				}
				return r.Also(ctx, c.Protocol, it)
			})
		}
	}
	_ = g.Wait() // the command has what it wanted
}

// lacking returns what l lacks for other commands of the tools that fetched something.
func (s *session) lacking(r *record.Recorder, l *lockfile.Lock) (list []string) {
	for _, c := range s.clients {
		if c.Lacking != nil && len(r.Asked(c.name)) > 0 {
			list = append(list, c.Lacking(l)...)
		}
	}
	return list
}

// withoutIdle returns l without the entries that sessions request by themselves, for each protocol
// of which nothing else was requested.
func withoutIdle(l *lockfile.Lock) *lockfile.Lock {
	var kept []lockfile.Entry
	for _, e := range l.Entries {
		if !idle(e) || used(l, e.Protocol) {
			kept = append(kept, e)
		}
	}
	return lockfile.New(kept)
}

func used(l *lockfile.Lock, protocol string) bool {
	for _, e := range l.Entries {
		if e.Protocol == protocol && !idle(e) {
			return true
		}
	}
	return false
}

func idle(e lockfile.Entry) bool {
	for _, t := range ecosystem.Table() {
		if t.Name == e.Protocol {
			return t.Idle != nil && t.Idle(e.Key)
		}
	}
	return false
}
