package stage

import (
	"context"
	"io/fs"
	"log/slog"
	"sync"

	"overland/internal/agent/node"
	"overland/internal/digest"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/progress"
	"overland/internal/runtime"
	"overland/internal/store"
	"overland/internal/trust/client"
)

// Options are what a Stager needs beside the node.
type Options struct {
	FS       fsx.FS
	Log      *slog.Logger
	Platform platform.Platform // of this machine; Platform.Runs is the order in which artifacts are taken
	Runtimes runtime.Set       // what the services of a release may ask for
	Self     digest.Digest     // of this agent's program; "" = no other program is brought
	Progress func(progress.Event)
}

// Depot is the node's own store.
type Depot interface {
	store.Store
	// Place puts blob d at path, whose folder exists, with mode.
	Place(ctx context.Context, d digest.Digest, path string, mode fs.FileMode) error
}

// Stager brings what a source says onto the node's disk, verified. Freshness and Returned may be called at
// any time; of the other methods one runs at a time, which the caller sees to.
type Stager struct {
	o     Options
	node  *node.Node
	depot Depot
	trust *client.Client

	mu    sync.Mutex
	names map[digest.Digest]string // of the blobs that are fetched now, for people
	fresh nodeapi.Freshness
	back  []nodeapi.Return // by the metadata that was verified last
}

// New returns a Stager for node n.
func New(n *node.Node, depot Depot, trust *client.Client, o Options) *Stager {
	return &Stager{o: o, node: n, depot: depot, trust: trust, names: map[digest.Digest]string{}}
}

// Freshness says how new the metadata is that was verified last.
func (s *Stager) Freshness() nodeapi.Freshness {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fresh
}

// Returned returns which applications stand on their channel's fallback, by the metadata that was
// verified last.
func (s *Stager) Returned() []nodeapi.Return {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.back
}

// Root returns the fingerprint of the pinned root; "" = none.
func (s *Stager) Root() string { return string(s.trust.Fingerprint()) }

// Fetcher returns a fetcher into the depot from sources.
func (s *Stager) Fetcher(sources ...fetch.Source) *fetch.Fetcher {
	return fetch.New(s.depot, fetch.Options{Sources: sources, Log: s.o.Log, Progress: func(e fetch.Event) {
		s.mu.Lock()
		e.What = s.names[e.Digest]
		s.mu.Unlock()
		s.o.Progress(e.Event)
	}})
}

// named gives blob d a name for people who watch it being fetched.
func (s *Stager) named(d digest.Digest, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[d] = name
}
