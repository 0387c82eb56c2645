package mirror

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

const (
	filesDir = "files" // below a mirror: what is handed on, named as on the wire
	oldFiles = 8       // versions of each role that stay, for nodes that are reading an older snapshot
)

// Mirror is the verified metadata of an operator whose keys are elsewhere, kept to be
// handed on byte for byte. It checks signatures and refuses what is older than it has
// seen; whether metadata is still fresh is for its readers to say. It is safe for
// concurrent use, and a trust.MetadataSource.
type Mirror struct {
	client *client.Client
	sink   sink

	mu   sync.Mutex
	done int64 // the timestamp whose files are all there; 0 = not known
}

// Open opens the mirror in directory dir, which may be missing: then nothing is pinned.
func Open(dir string, o client.Options) (*Mirror, error) {
	c, err := client.Open(dir, o)
	if err != nil {
		return nil, err
	}
	return &Mirror{client: c, sink: sink{fs: o.FS, dir: filepath.Join(dir, filesDir)}}, nil
}

// Pinned reports whether there is a root to verify metadata by.
func (m *Mirror) Pinned() bool { return m.client.Pinned() }

// Pin is client.Client.Pin.
func (m *Mirror) Pin(ctx context.Context, src trust.MetadataSource, fp trust.Fingerprint) error {
	return m.client.Pin(ctx, src, fp)
}

// Metadata returns a file that was verified; fs.ErrNotExist when there is none of that name.
func (m *Mirror) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	return trust.DirSource(m.sink.dir).Metadata(ctx, name, limit)
}

// Update verifies what src has and takes it over, whole or not at all: no reader finds a
// timestamp here before everything that it lists. Errors are those of client.Client.Refresh;
// then what was here before stays.
func (m *Mirror) Update(ctx context.Context, src trust.MetadataSource) (client.Freshness, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh, err := m.client.Refresh(ctx, src, client.RefreshOptions{Offline: true})
	if err != nil {
		return client.Freshness{}, err
	}
	timestamp, root := m.client.Refreshed()
	if m.done == timestamp && m.sink.Has(trust.WireName("root", root)) {
		return fresh, nil
	}
	if err := m.sink.fs.Mkdir(m.sink.dir, 0o755); err != nil {
		return client.Freshness{}, fmt.Errorf("mirror: %w", err)
	}
	if err := m.client.Copy(ctx, m.sink); err != nil {
		return client.Freshness{}, fmt.Errorf("mirror: %w", err)
	}
	m.done = timestamp
	return fresh, nil
}

// sink is the folder of files that are handed on: a client.Sink.
type sink struct {
	fs  fsx.FS
	dir string
}

// Has reports whether the file name is there.
func (s sink) Has(name string) bool {
	_, err := fsx.ReadFile(filepath.Join(s.dir, name), trust.MaxRoot)
	return err == nil
}

// Put writes a file unless it is there already, and drops the oldest versions of its role.
func (s sink) Put(role string, version int64, b []byte) error {
	path := filepath.Join(s.dir, trust.WireName(role, version))
	if old, err := fsx.ReadFile(path, int64(len(b))); err != nil || string(old) != string(b) {
		if err := s.fs.WriteFile(path, b, 0o644); err != nil {
			return err
		}
	}
	if role == metadata.ROOT || version == 0 {
		return nil
	}
	numbers, err := trust.VersionsIn(s.dir, role)
	if err != nil {
		return err
	}
	for ; len(numbers) > oldFiles; numbers = numbers[1:] {
		if err := s.fs.Remove(filepath.Join(s.dir, trust.WireName(role, numbers[0]))); err != nil {
			return err
		}
	}
	return nil
}
