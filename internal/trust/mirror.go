package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/fsx"
)

const (
	filesDir = "files" // below a mirror: what is handed on, named as on the wire
	oldFiles = 8       // versions of each role that stay, for nodes that are reading an older snapshot
)

// Mirror is the verified metadata of an operator whose keys are elsewhere, kept to be handed on byte for byte. Its
// signatures are judged here, and that nothing is older than what was seen; whether it is fresh, whoever reads it
// judges. It is safe for concurrent use and has the method of a MetadataSource.
type Mirror struct {
	client *Client
	fs     fsx.FS
	files  string

	mu   sync.Mutex
	done int64 // the timestamp whose files are all there; 0 = not known
}

// OpenMirror opens the mirror in directory dir, which may be missing: nothing is pinned then.
func OpenMirror(dir string, o ClientOptions) (*Mirror, error) {
	c, err := OpenClient(dir, o)
	if err != nil {
		return nil, err
	}
	return &Mirror{client: c, fs: o.FS, files: filepath.Join(dir, filesDir)}, nil
}

// Pinned reports whether there is a root by which metadata is judged.
func (m *Mirror) Pinned() bool { return m.client.Pinned() }

// Pin is Client.Pin.
func (m *Mirror) Pin(ctx context.Context, src MetadataSource, fp Fingerprint) error {
	return m.client.Pin(ctx, src, fp)
}

// Metadata returns a file that was verified; fs.ErrNotExist when there is none of that name.
func (m *Mirror) Metadata(ctx context.Context, name string, limit int64) ([]byte, error) {
	return DirSource(m.files).Metadata(ctx, name, limit)
}

// Update verifies what src has and takes it over, whole or not at all: nobody finds a timestamp here before everything
// that it speaks of. Errors are Client.Refresh's; what was here before stays then.
func (m *Mirror) Update(ctx context.Context, src MetadataSource) (Freshness, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh, err := m.client.Refresh(ctx, src, RefreshOptions{Offline: true})
	if err != nil {
		return Freshness{}, err
	}
	m.client.mu.Lock()
	defer m.client.mu.Unlock()
	if err := m.take(ctx, src); err != nil {
		return Freshness{}, fmt.Errorf("mirror: %w", err)
	}
	return fresh, nil
}

func (m *Mirror) take(ctx context.Context, src MetadataSource) error {
	set := m.client.set
	stamp := set.Timestamp.Signed.Version
	if m.done == stamp && m.has(WireName("root", set.Root.Signed.Version)) {
		return nil
	}
	if err := m.fs.Mkdir(m.files, 0o755); err != nil {
		return err
	}
	if err := m.takeRoots(ctx, src); err != nil {
		return err
	}
	roles, err := m.roles(ctx, src)
	if err != nil {
		return err
	}
	number := func(v int64) int64 {
		if !set.Root.Signed.ConsistentSnapshot {
			return 0
		}
		return v
	}
	for _, role := range roles {
		version := set.Snapshot.Signed.Meta[role+".json"].Version
		if err := m.copy(m.client.roleFile(role), role, number(version), MaxTargets); err != nil {
			return err
		}
	}
	if err := m.copy(m.client.path("snapshot.json"), metadata.SNAPSHOT, number(set.Snapshot.Signed.Version), MaxSnapshot); err != nil {
		return err
	}
	// Last: it is what makes the others hold.
	if err := m.copy(m.client.path("timestamp.json"), metadata.TIMESTAMP, 0, MaxTimestamp); err != nil {
		return err
	}
	m.done = stamp
	return nil
}

func (m *Mirror) has(name string) bool {
	_, err := fsx.ReadFile(filepath.Join(m.files, name), MaxRoot)
	return err == nil
}

// takeRoots takes over every root. Those before the pinned one are for nodes that were installed long ago: they are
// believed because they lead to it.
func (m *Mirror) takeRoots(ctx context.Context, src MetadataSource) error {
	s, err := loadSeen(m.client.dir)
	if err != nil {
		return err
	}
	if err := m.oldRoots(ctx, src, s); err != nil {
		return err
	}
	for v := s.PinVersion; v <= m.client.set.Root.Signed.Version; v++ {
		if err := m.copy(m.client.path(WireName("root", v)), metadata.ROOT, v, MaxRoot); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) oldRoots(ctx context.Context, src MetadataSource, s *seen) error {
	if s.PinVersion == 1 || m.has(WireName("root", 1)) {
		return nil
	}
	files := make([][]byte, 0, s.PinVersion)
	for v := int64(1); v < s.PinVersion; v++ {
		b, err := fetch(ctx, src, WireName("root", v), MaxRoot)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has them no more, or never had: nodes that need them ask elsewhere
		}
		if err != nil {
			return err
		}
		files = append(files, b)
	}
	pinned, err := fsx.ReadFile(m.client.path(WireName("root", s.PinVersion)), MaxRoot)
	if err != nil {
		return err
	}
	set, err := newSet(files[0])
	if err != nil {
		return err
	}
	for _, b := range append(files[1:], pinned) {
		if err := updateRoot(set, b); err != nil {
			return err
		}
	}
	for i, b := range slices.Backward(files) { // the first one last: it says that all are there
		if err := m.write(WireName("root", int64(i+1)), b); err != nil {
			return err
		}
	}
	return nil
}

// roles verifies every role that snapshot speaks of, from targets on, and returns their names. One that a delegated role
// delegates to wrongly is left out: whoever may sign for one app must not be able to stop the others.
func (m *Mirror) roles(ctx context.Context, src MetadataSource) ([]string, error) {
	set := m.client.set
	type visit struct{ role, parent string }
	var names []string
	done, tried := map[string]bool{}, map[visit]bool{}
	for queue := []visit{{metadata.TARGETS, metadata.ROOT}}; len(queue) > 0; queue = queue[1:] {
		v := queue[0]
		if tried[v] {
			continue // whoever delegates wrongly may do so a hundred thousand times
		}
		tried[v] = true
		if set.Snapshot.Signed.Meta[v.role+".json"] == nil || done[v.role] {
			continue // nothing is signed for it yet
		}
		role, err := m.client.loadRole(ctx, set, src, v.role, v.parent)
		switch {
		case errs.KindOf(err) == errs.Untrusted && v.role != metadata.TARGETS && v.parent != metadata.TARGETS:
			continue
		case err != nil:
			return nil, err
		}
		done[v.role] = true
		names = append(names, v.role)
		for _, child := range children(role, set.Snapshot.Signed.Meta) {
			queue = append(queue, visit{child, v.role})
		}
	}
	return names, nil
}

// children returns the roles that m delegates to; of its hash bins those that are in the snapshot's list.
func children(m *roleMetadata, listed map[string]*metadata.MetaFiles) []string {
	d := m.Signed.Delegations
	if d == nil {
		return nil
	}
	var names []string
	for i := range d.Roles {
		names = append(names, d.Roles[i].Name)
	}
	if d.SuccinctRoles == nil {
		return names
	}
	for file := range listed {
		if name := strings.TrimSuffix(file, ".json"); d.SuccinctRoles.IsDelegatedRole(name) {
			names = append(names, name)
		}
	}
	return names
}

// copy hands on a file that was verified just now, and drops the oldest versions of its role.
func (m *Mirror) copy(from, role string, version, limit int64) error {
	b, err := fsx.ReadFile(from, limit)
	if err != nil {
		return err
	}
	if err := m.write(WireName(role, version), b); err != nil {
		return err
	}
	if role == metadata.ROOT || version == 0 {
		return nil
	}
	numbers, err := versionsIn(m.files, role)
	if err != nil {
		return err
	}
	for len(numbers) > oldFiles {
		if err := m.fs.Remove(filepath.Join(m.files, WireName(role, numbers[0]))); err != nil {
			return err
		}
		numbers = numbers[1:]
	}
	return nil
}

func (m *Mirror) write(name string, b []byte) error {
	path := filepath.Join(m.files, name)
	if old, err := fsx.ReadFile(path, int64(len(b))); err == nil && string(old) == string(b) {
		return nil // an unchanged source costs no write
	}
	return m.fs.WriteFile(path, b, 0o644)
}
