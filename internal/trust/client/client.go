package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
)

// Options are the settings of a Client; the zero value works.
type Options struct {
	FS        fsx.FS
	Clock     clock.Clock // nil: the machine's
	BuildTime time.Time   // when this program was built: the lowest time that the node believes
	// Foreign is for metadata that other programs made: what does not say when it was signed may be
	// valid for as long as they like. Some sign timestamps for twenty years.
	Foreign bool
}

// RefreshOptions are the settings of one Refresh.
type RefreshOptions struct {
	// Offline checks expiry against the source's signed "sealed at", because the node cannot ask
	// whether there is newer. A lower version than the node has seen is still refused.
	Offline bool
}

// Freshness is how new verified metadata is.
type Freshness struct {
	Known    bool      // false: offline, there may be newer
	SignedAt time.Time // when the timestamp was signed; zero when it does not say
	Expires  time.Time // the first of root, timestamp, snapshot and targets to expire
}

// Client is a node's verified metadata. It is safe for concurrent use, also by several processes.
type Client struct {
	dir string
	o   Options

	pin atomic.Value // Fingerprint: read while a Refresh waits for a slow link

	mu  sync.Mutex
	set *trustedmetadata.TrustedMetadata // of the last Refresh that succeeded; nil: none did
	src trust.MetadataSource             // of that Refresh; nil: only the disk
}

const (
	maxDelegations = 32        // roles asked for one target
	maxCopied      = 512 << 20 // bytes of all roles that one Copy takes over
)

const rolesDir = "roles" // below the client's directory: delegated roles, whose names are the publisher's

// Open opens the trust files in directory dir. A missing directory is a node that has nothing
// pinned. Torn metadata is left aside and fetched again by Refresh; damage that only a person may
// repair is reported by Refresh.
func Open(dir string, o Options) (*Client, error) {
	o.Clock = o.Clock.Or()
	c := &Client{dir: dir, o: o}
	c.pin.Store(trust.Fingerprint(""))
	s, err := loadSeen(dir)
	if err != nil && !errors.Is(err, trust.ErrDamaged) {
		return nil, fmt.Errorf("open trust: %w", err)
	}
	if s != nil {
		c.pin.Store(s.Pin)
	}
	return c, nil
}

// Pinned reports whether the node has a root to trust.
func (c *Client) Pinned() bool { return c.Fingerprint() != "" }

// Fingerprint returns the fingerprint of the pinned root version, "" when there is none.
// It does not wait for a Refresh that is under way.
func (c *Client) Fingerprint() trust.Fingerprint { return c.pin.Load().(trust.Fingerprint) }

// Pin makes the root version of src whose fingerprint is fp the root of trust of this node. Pinning
// again what is already trusted changes nothing; another root is refused: a person removes the old
// one first. errs.Untrusted when src has no such root.
func (c *Client) Pin(ctx context.Context, src trust.MetadataSource, fp trust.Fingerprint) error {
	fp, err := trust.ParseFingerprint(string(fp))
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, err := loadSeen(c.dir); err == nil && s != nil {
		return c.pinAgain(ctx, src, s, fp)
	}
	var newest trust.Fingerprint
	for b, err := range trust.Roots(ctx, src, 1) {
		if err != nil {
			return fmt.Errorf("pin %s: %w", fp, err)
		}
		if newest, err = trust.FingerprintOf(b); err != nil {
			return fmt.Errorf("pin %s: %w", fp, err)
		}
		if newest == fp {
			return c.pinRoot(ctx, b, fp)
		}
	}
	if newest == "" {
		return errs.Errorf(errs.Untrusted, "pin %s: the source has no root metadata", fp)
	}
	err = errs.Errorf(errs.Untrusted, "pin %s: the source's root is another one: %s", fp, newest)
	return errs.Hint(err, "compare with what overland trust show prints on the machine that signs; if it differs, "+
		"the source is not your operator's")
}

// PinRoot makes root, which provisioning placed on the node, the root of
// trust; like Pin in everything else.
func (c *Client) PinRoot(ctx context.Context, root []byte) error {
	fp, err := trust.FingerprintOf(root)
	if err != nil {
		return fmt.Errorf("pin root: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, err := loadSeen(c.dir); err == nil && s != nil {
		return c.pinAgain(ctx, nil, s, fp)
	}
	return c.pinRoot(ctx, root, fp)
}

// pinRoot writes the pin: the root first, then the statement that it is the one.
func (c *Client) pinRoot(ctx context.Context, b []byte, fp trust.Fingerprint) error {
	set, err := newSet(b)
	if err != nil {
		return fmt.Errorf("pin %s: %w", fp, err)
	}
	if err := c.o.FS.Mkdir(c.dir, 0o755); err != nil {
		return fmt.Errorf("pin %s: %w", fp, err)
	}
	lock, err := trust.WaitLock(ctx, c.path("lock"))
	if err != nil {
		return fmt.Errorf("pin %s: %w", fp, err)
	}
	defer func() { _ = lock.Unlock() }() // the kernel frees it in any case
	v := set.Root.Signed.Version
	if err := c.o.FS.WriteFile(c.path(trust.WireName("root", v)), b, 0o644); err != nil {
		return fmt.Errorf("pin %s: %w", fp, err)
	}
	s := &seen{Pin: fp, PinVersion: v, Root: v}
	if err := s.save(c.o.FS, c.dir); err != nil {
		return fmt.Errorf("pin %s: %w", fp, err)
	}
	c.pin.Store(fp)
	c.set, c.src = nil, nil
	return nil
}

// pinAgain returns nil when fp is a root that the pinned one leads to.
func (c *Client) pinAgain(ctx context.Context, src trust.MetadataSource, s *seen, fp trust.Fingerprint) error {
	if s.Pin == fp {
		c.pin.Store(fp)
		return nil
	}
	lock, err := trust.WaitLock(ctx, c.path("lock"))
	if err != nil {
		return fmt.Errorf("pin %s: %w", fp, err)
	}
	defer func() { _ = lock.Unlock() }()
	set, err := c.roots(ctx, src, s)
	if err != nil {
		return fmt.Errorf("pin %s: %w", fp, err)
	}
	for v := s.PinVersion; v <= set.Root.Signed.Version; v++ {
		b, err := fsx.ReadFile(c.path(trust.WireName("root", v)), trust.MaxRoot)
		if err != nil {
			return fmt.Errorf("pin %s: %w", fp, err)
		}
		if have, err := trust.FingerprintOf(b); err == nil && have == fp {
			return nil
		}
	}
	err = errs.Errorf(errs.Untrusted, "pin %s: this node trusts another root, %s", fp, s.Pin)
	return errs.Hint(err, "to move the node to another operator, remove it first: overland-agent uninstall --purge")
}

// load returns what the node has verified, under the lock that the caller
// ends with the returned function.
func (c *Client) load(ctx context.Context) (*seen, func(), error) {
	s, err := loadSeen(c.dir)
	if err == nil && s == nil {
		err := errs.E(errs.Untrusted, trust.ErrNotPinned)
		return nil, nil, errs.Hint(err, "compare the fingerprint that overland trust show prints, then install with "+
			"--root FINGERPRINT")
	}
	if err != nil {
		if errors.Is(err, trust.ErrDamaged) {
			err = errs.Hint(errs.E(errs.Untrusted, err), "nothing was changed. Compare the fingerprint that overland "+
				"trust show prints, then install with --root FINGERPRINT")
		}
		return nil, nil, err
	}
	c.pin.Store(s.Pin)
	lock, err := trust.WaitLock(ctx, c.path("lock"))
	if err != nil {
		return nil, nil, fmt.Errorf("trust: %w", err)
	}
	// Another process may have gone ahead while this one waited.
	if again, err := loadSeen(c.dir); err == nil && again != nil {
		s = again
	}
	c.sweep()
	return s, func() { _ = lock.Unlock() }, nil
}

// sweep removes the temporary files of writers that were killed. The caller holds the lock.
func (c *Client) sweep() {
	for _, dir := range []string{c.dir, c.path(rolesDir)} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), ".tmp-") {
				// Leftovers only cost space: a failure to remove one must not stop the node.
				_ = c.o.FS.Remove(filepath.Join(dir, e.Name()))
			}
		}
	}
}

func (c *Client) path(name string) string { return filepath.Join(c.dir, name) }

// newSet starts a set of trusted metadata from the root b, which must be signed by itself.
func newSet(b []byte) (*trustedmetadata.TrustedMetadata, error) {
	if err := trust.CheckForm(b, metadata.ROOT); err != nil {
		return nil, trust.Untrusted("root", err)
	}
	set, err := trustedmetadata.New(b)
	return set, trust.Untrusted("root", err)
}
