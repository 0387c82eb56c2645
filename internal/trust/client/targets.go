package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// longestFile is the longest name of a file for a delegated role, in bytes; longer
// ones are named by their digest.
const longestFile = 200

// Target returns what the metadata of the last Refresh says of path: roles are asked in the
// order of the delegations (TUF 5.6.7), and only those that path is delegated to.
// errs.NotFound when no role speaks of it.
func (c *Client) Target(ctx context.Context, path string) (trust.TargetFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.find(ctx, path)
	if err != nil {
		return trust.TargetFile{}, fmt.Errorf("target %.100s: %w", path, err)
	}
	return trust.FileOf(t), nil
}

func (c *Client) find(ctx context.Context, path string) (*metadata.TargetFiles, error) {
	if c.set == nil {
		return nil, notRefreshed()
	}
	type visit struct{ role, parent string }
	stack := []visit{{metadata.TARGETS, metadata.ROOT}}
	seen := map[string]bool{}
	for len(stack) > 0 && len(seen) <= maxDelegations {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[v.role] {
			continue
		}
		m, err := c.loadRole(ctx, c.set, c.src, v.role, v.parent)
		if err != nil {
			return nil, err
		}
		if t := m.Signed.Targets[path]; t != nil {
			return t, nil
		}
		seen[v.role] = true
		var children []visit
		for _, d := range delegated(m, path) {
			children = append(children, visit{d.Name, v.role})
			if d.Terminating {
				stack = nil
				break
			}
		}
		slices.Reverse(children)
		stack = append(stack, children...)
	}
	return nil, errs.Errorf(errs.NotFound, "no role speaks of it")
}

// Targets returns everything that role ("app/wallet"), delegated by the top-level targets,
// says, without paths outside of its delegation. errs.NotFound when there is no such role, or
// nothing was signed for it yet.
func (c *Client) Targets(ctx context.Context, role string) (map[string]trust.TargetFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, _, err := c.says(ctx, role)
	return out, err
}

// TargetsBy is Targets that also returns the ids of the keys which signed what role says, sorted;
// none for the top-level targets. It verifies every signature for that.
func (c *Client) TargetsBy(ctx context.Context, role string) (map[string]trust.TargetFile, []string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out, m, err := c.says(ctx, role)
	if err != nil {
		return nil, nil, err
	}
	return out, trust.SignersOf(c.set.Targets[metadata.TARGETS], role, m), nil
}

// SignerKeys returns the keys that may sign what the delegated role says; none before a Refresh.
func (c *Client) SignerKeys(role string) []trust.PublicKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		return nil
	}
	return trust.DelegatedKeys(c.set.Targets[metadata.TARGETS], role)
}

// says returns what role says, within its delegation, and its metadata. The caller holds mu.
func (c *Client) says(ctx context.Context, role string) (map[string]trust.TargetFile, *trust.TargetsMetadata, error) {
	if c.set == nil {
		return nil, nil, fmt.Errorf("targets of %.100s: %w", role, notRefreshed())
	}
	top := c.set.Targets[metadata.TARGETS]
	m, speaks := top, func(string) bool { return true }
	if role != metadata.TARGETS {
		d := trust.Delegation(top, role)
		if d == nil {
			return nil, nil, errs.Errorf(errs.NotFound, "targets of %.100s: no such role", role)
		}
		var err error
		if m, err = c.loadRole(ctx, c.set, c.src, role, metadata.TARGETS); err != nil {
			return nil, nil, fmt.Errorf("targets of %.100s: %w", role, err)
		}
		speaks = func(path string) bool { return covers(d, path) }
	}
	out := map[string]trust.TargetFile{}
	for path, t := range m.Signed.Targets {
		if speaks(path) {
			out[path] = trust.FileOf(t)
		}
	}
	return out, m, nil
}

func notRefreshed() error {
	return errs.Errorf(errs.Unavailable, "no metadata is verified yet: refresh first")
}

// loadRole returns role as parent delegates it, from the disk when the file there is the one that
// snapshot means, else from src, and keeps it. It is verified against parent each time: one role
// may be delegated to by two others, with different keys.
func (c *Client) loadRole(ctx context.Context, set *trustedmetadata.TrustedMetadata, src trust.MetadataSource, role, parent string) (*trust.TargetsMetadata, error) {
	meta := set.Snapshot.Signed.Meta[role+".json"]
	if meta == nil {
		return nil, errs.Errorf(errs.NotFound, "%.100s: nothing is signed for it: snapshot does not speak of it", role)
	}
	file := c.roleFile(role)
	if b, err := fsx.ReadFile(file, trust.MaxTargets); err == nil {
		if m, err := verifyRole(set, b, role, parent); err == nil {
			return m, nil
		}
	}
	b, err := fetchRole(ctx, src, set, role, meta, trust.MaxTargets)
	if err != nil {
		return nil, err
	}
	m, err := verifyRole(set, b, role, parent)
	if err != nil {
		return nil, err
	}
	if role != metadata.TARGETS {
		if err := c.o.FS.Mkdir(c.path(rolesDir), 0o755); err != nil {
			return nil, fmt.Errorf("keep %.100s: %w", role, err)
		}
	}
	if err := c.o.FS.WriteFile(file, b, 0o644); err != nil {
		return nil, fmt.Errorf("keep %.100s: %w", role, err)
	}
	return m, nil
}

// roleFile returns where role is kept. Names of delegated roles are the publisher's, so they live
// in a folder of their own, escaped.
func (c *Client) roleFile(role string) string {
	if role == metadata.TARGETS {
		return c.path("targets.json")
	}
	name := trust.WireName(role, 0)
	if len(name) > longestFile || strings.HasPrefix(name, ".") {
		name = digest.Of([]byte(role)).Encoded() + ".json"
	}
	return c.path(rolesDir + "/" + name)
}

func verifyRole(set *trustedmetadata.TrustedMetadata, b []byte, role, parent string) (*trust.TargetsMetadata, error) {
	if err := trust.CheckForm(b, metadata.TARGETS); err != nil {
		return nil, trust.Untrusted(role, err)
	}
	m, err := set.UpdateDelegatedTargets(b, role, parent)
	if err != nil {
		return nil, trust.Untrusted(role, err)
	}
	return m, trust.CheckLifetime(role, m.Signed.UnrecognizedFields, m.Signed.Expires, time.Time{})
}

// delegated returns the roles that m lets speak of path, in order. Unlike go-tuf's, hash prefixes
// are of the hex digest that TAP and specification mean.
func delegated(m *trust.TargetsMetadata, path string) []metadata.RoleResult {
	d := m.Signed.Delegations
	if d == nil {
		return nil
	}
	if d.Roles == nil && d.SuccinctRoles != nil {
		return d.SuccinctRoles.GetRolesForTarget(path)
	}
	var out []metadata.RoleResult
	for i := range d.Roles {
		if covers(&d.Roles[i], path) {
			out = append(out, metadata.RoleResult{Name: d.Roles[i].Name, Terminating: d.Roles[i].Terminating})
		}
	}
	return out
}

// covers reports whether the delegation d lets its role speak of target.
func covers(d *metadata.DelegatedRole, target string) bool {
	if len(d.Paths) == 0 {
		sum := sha256.Sum256([]byte(target))
		h := hex.EncodeToString(sum[:])
		return slices.ContainsFunc(d.PathHashPrefixes, func(p string) bool { return strings.HasPrefix(h, p) })
	}
	return slices.ContainsFunc(d.Paths, func(pattern string) bool {
		// A "*" stays within its segment: path.Match never lets it match a "/".
		ok, err := path.Match(pattern, target)
		return err == nil && ok
	})
}
