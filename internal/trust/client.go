package trust

import (
	"context"
	"errors"
	"time"

	"overland/internal/clock"
	"overland/internal/fsx"
)

// ClientOptions are the settings of a Client; the zero value works.
type ClientOptions struct {
	FS        fsx.FS
	Clock     clock.Clock // nil: the machine's
	BuildTime time.Time   // when this program was built: the lowest time that the node believes
}

// RefreshOptions are the settings of one Refresh.
type RefreshOptions struct {
	// Offline judges expiry at the source's signed "sealed at", because the node cannot ask whether there is newer.
	// A lower version than the node has seen is still refused.
	Offline bool
}

// Freshness is how new verified metadata is.
type Freshness struct {
	Known    bool      // false: offline, there may be newer
	SignedAt time.Time // when the timestamp was signed; zero when it does not say
	Expires  time.Time
}

// Client is a node's verified metadata. It is safe for concurrent use, also by several processes.
type Client struct{}

var errTODO = errors.New("not implemented yet")

// OpenClient opens the trust files in directory dir. A missing directory is a node that has nothing pinned. Torn files
// are left aside and fetched again by Refresh; damage that only a person may repair is reported by Refresh.
func OpenClient(dir string, o ClientOptions) (*Client, error) { return nil, errTODO }

// Pinned reports whether the node has a root to trust.
func (c *Client) Pinned() bool { return false }

// Fingerprint returns the fingerprint of the pinned root, "" when there is none.
func (c *Client) Fingerprint() Fingerprint { return "" }

// Pin makes the root version of src whose fingerprint is fp the root of trust of this node. Pinning again what is
// already trusted changes nothing; another root is refused: a person removes the old one first.
func (c *Client) Pin(ctx context.Context, src MetadataSource, fp Fingerprint) error { return errTODO }

// PinRoot makes root, which provisioning placed on the node, the root of trust.
func (c *Client) PinRoot(ctx context.Context, root []byte) error { return errTODO }

// Refresh verifies what src has and keeps it. A nil src judges what is on the disk. src stays in use by Target and
// Targets until the next Refresh. An unchanged source costs no write.
func (c *Client) Refresh(ctx context.Context, src MetadataSource, o RefreshOptions) (Freshness, error) {
	return Freshness{}, errTODO
}

// Target returns what the metadata of the last Refresh says of path, asking only roles that path is delegated to.
// errs.NotFound when no role speaks of it.
func (c *Client) Target(ctx context.Context, path string) (TargetFile, error) {
	return TargetFile{}, errTODO
}

// Targets returns everything that role ("app/wallet") says, without paths outside of its delegation.
func (c *Client) Targets(ctx context.Context, role string) (map[string]TargetFile, error) {
	return nil, errTODO
}
