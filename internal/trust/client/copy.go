package client

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// Sink takes verified files over: see Copy.
type Sink interface {
	// Has reports whether the file name (on the wire) was put before.
	Has(name string) bool
	// Put takes version of role. The version is 0 where names have no number.
	Put(role string, version int64, b []byte) error
}

// Refreshed returns the version of the timestamp that the last Refresh verified, and of
// the newest root; 0 when none did.
func (c *Client) Refreshed() (timestamp, root int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return 0, 0
	}
	return c.set.Timestamp.Signed.Version, c.set.Root.Signed.Version
}

// Copy puts every file that the last Refresh verified into to, byte for byte: the roots, every role
// that the snapshot lists, the snapshot, and last the timestamp, which makes the others hold. Roles
// and older roots that are not here yet are fetched from the source of that Refresh.
func (c *Client) Copy(ctx context.Context, to Sink) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return notRefreshed()
	}
	if err := c.copyRoots(ctx, to); err != nil {
		return err
	}
	roles, err := c.roles(ctx)
	if err != nil {
		return err
	}
	set := c.set
	number := func(v int64) int64 {
		if !set.Root.Signed.ConsistentSnapshot {
			return 0
		}
		return v
	}
	for _, role := range roles {
		version := set.Snapshot.Signed.Meta[role+".json"].Version
		if err := copyFile(to, c.roleFile(role), role, number(version), trust.MaxTargets); err != nil {
			return err
		}
	}
	version := number(set.Snapshot.Signed.Version)
	if err := copyFile(to, c.path("snapshot.json"), metadata.SNAPSHOT, version, trust.MaxSnapshot); err != nil {
		return err
	}
	return copyFile(to, c.path("timestamp.json"), metadata.TIMESTAMP, 0, trust.MaxTimestamp)
}

// copyFile puts the file at path, which was verified just now.
func copyFile(to Sink, path, role string, version, limit int64) error {
	b, err := fsx.ReadFile(path, limit)
	if err != nil {
		return err
	}
	return to.Put(role, version, b)
}

// copyRoots puts every root. Those before the pinned one are for nodes that were installed long
// ago: they are trusted because they lead to it.
func (c *Client) copyRoots(ctx context.Context, to Sink) error {
	s, err := loadSeen(c.dir)
	if err != nil {
		return err
	}
	if err := c.copyOldRoots(ctx, s, to); err != nil {
		return err
	}
	for v := s.PinVersion; v <= c.set.Root.Signed.Version; v++ {
		if err := copyFile(to, c.path(trust.WireName("root", v)), metadata.ROOT, v, trust.MaxRoot); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) copyOldRoots(ctx context.Context, s *seen, to Sink) error {
	if s.PinVersion == 1 || to.Has(trust.WireName("root", 1)) {
		return nil
	}
	if c.src == nil {
		return nil
	}
	var files [][]byte
	for b, err := range trust.Roots(ctx, c.src, 1) {
		if errors.Is(err, trust.ErrTooMany) {
			break
		}
		if err != nil {
			return err
		}
		if files = append(files, b); int64(len(files)) == s.PinVersion-1 {
			break
		}
	}
	if int64(len(files)) < s.PinVersion-1 {
		return nil // the source no longer has them, or never had: nodes that need them ask elsewhere
	}
	pinned, err := fsx.ReadFile(c.path(trust.WireName("root", s.PinVersion)), trust.MaxRoot)
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
		if err := to.Put(metadata.ROOT, int64(i+1), b); err != nil {
			return err
		}
	}
	return nil
}

// roles verifies every role that the snapshot lists, from targets on, and returns their names. A
// delegated one that does not hold now, or is not there, is left out: the signers of one app must
// not be able to stop the others, and its readers judge for themselves.
func (c *Client) roles(ctx context.Context) ([]string, error) {
	listed := c.set.Snapshot.Signed.Meta
	type visit struct{ role, parent string }
	var names []string
	var size int64
	done, tried := map[string]bool{}, map[visit]bool{}
	for queue := []visit{{metadata.TARGETS, metadata.ROOT}}; len(queue) > 0; queue = queue[1:] {
		v := queue[0]
		if tried[v] {
			continue // a wrong delegation may be repeated a hundred thousand times
		}
		tried[v] = true
		if listed[v.role+".json"] == nil || done[v.role] {
			continue // nothing is signed for it yet
		}
		role, err := c.loadRole(ctx, c.set, c.src, v.role, v.parent)
		switch {
		case v.role != metadata.TARGETS && (errs.KindOf(err) == errs.Untrusted || errors.Is(err, fs.ErrNotExist)):
			continue
		case err != nil:
			return nil, err
		}
		info, err := os.Stat(c.roleFile(v.role))
		if err != nil {
			return nil, err
		}
		if size += info.Size(); size > maxCopied {
			return nil, errs.Errorf(errs.Untrusted, "the roles that snapshot lists: %w (%d bytes)", trust.ErrTooLarge, maxCopied)
		}
		done[v.role] = true
		names = append(names, v.role)
		for _, child := range children(role, listed) {
			queue = append(queue, visit{child, v.role})
		}
	}
	return names, nil
}

// Delegated returns the roles that targets delegates to and for which something is signed, by the
// metadata of the last Refresh, sorted.
func (c *Client) Delegated() ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return nil, notRefreshed()
	}
	listed := c.set.Snapshot.Signed.Meta
	names := children(c.set.Targets[metadata.TARGETS], listed)
	names = slices.DeleteFunc(names, func(role string) bool { return listed[role+".json"] == nil })
	slices.Sort(names)
	return slices.Compact(names), nil
}

// children returns the roles that m delegates to; of its hash bins, those that the snapshot lists.
func children(m *trust.TargetsMetadata, listed map[string]*metadata.MetaFiles) []string {
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
