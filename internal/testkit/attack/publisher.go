package attack

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// SignedAt is the signed field that says when metadata was signed.
const SignedAt = "x-overland-signed-at"

// Key is a key pair and its TUF key id.
type Key struct {
	ID      string
	Public  *metadata.Key
	private ed25519.PrivateKey
}

// NewKey makes a key.
func NewKey() Key {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	k, err := metadata.KeyFromPublicKey(pub)
	if err != nil {
		panic(err)
	}
	id, err := k.ID()
	if err != nil {
		panic(err)
	}
	return Key{ID: id, Public: k, private: priv}
}

// Publisher holds metadata as it will be published, and the files that were. Its
// fields are there to be changed by a test between two calls of Publish. Serving is
// safe while other goroutines publish.
type Publisher struct {
	Now       time.Time     // signing time of the next Publish
	Lifetime  time.Duration // expiry after Now
	Root      *metadata.Metadata[metadata.RootType]
	Timestamp *metadata.Metadata[metadata.TimestampType]
	Snapshot  *metadata.Metadata[metadata.SnapshotType]
	Roles     map[string]*metadata.Metadata[metadata.TargetsType] // targets and delegated ones
	Signers   map[string][]Key                                    // who signs a role, whoever may
	Hashes    bool                                                // put length and digest of metadata into snapshot and timestamp
	NoStamp   bool                                                // leave out SignedAt

	// Serve, when set, may replace what is sent for name; a nil b means there is none.
	Serve func(name string, b []byte) ([]byte, error)

	mu       sync.Mutex
	files    map[string][]byte
	requests []string
}

// New returns a publisher with one key per top-level role, everything in version
// 1, published at now for 30 days.
func New(now time.Time) *Publisher {
	p := &Publisher{
		Now: now, Lifetime: 30 * 24 * time.Hour, Hashes: true,
		Root: metadata.Root(now), Timestamp: metadata.Timestamp(now), Snapshot: metadata.Snapshot(now),
		Roles:   map[string]*metadata.Metadata[metadata.TargetsType]{metadata.TARGETS: metadata.Targets(now)},
		Signers: map[string][]Key{},
		files:   map[string][]byte{},
	}
	p.Root.Signed.Version, p.Timestamp.Signed.Version, p.Snapshot.Signed.Version = 0, 0, 0
	p.Roles[metadata.TARGETS].Signed.Version = 0
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		p.AddKey(role, NewKey())
	}
	p.PublishRoot()
	p.Publish(metadata.TARGETS)
	return p
}

// AddKey lets k sign for the top-level role, and signs with it.
func (p *Publisher) AddKey(role string, k Key) {
	p.Root.Signed.Keys[k.ID] = k.Public
	r := p.Root.Signed.Roles[role]
	r.KeyIDs = append(r.KeyIDs, k.ID)
	p.Signers[role] = append(p.Signers[role], k)
}

// Replace revokes all keys of the top-level role and lets k sign
// instead. It returns the revoked keys.
func (p *Publisher) Replace(role string, k Key) []Key {
	old := p.Signers[role]
	p.Root.Signed.Roles[role].KeyIDs = nil
	p.Signers[role] = nil
	p.AddKey(role, k)
	return old
}

// Delegate makes role a role of parent's for the patterns paths, signed by a new key.
func (p *Publisher) Delegate(parent, role string, paths ...string) Key {
	k := NewKey()
	m := p.Roles[parent]
	if m.Signed.Delegations == nil {
		m.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	}
	m.Signed.Delegations.Keys[k.ID] = k.Public
	m.Signed.Delegations.Roles = append(m.Signed.Delegations.Roles, metadata.DelegatedRole{
		Name: role, KeyIDs: []string{k.ID}, Threshold: 1, Paths: paths,
	})
	if p.Roles[role] == nil {
		p.Roles[role] = metadata.Targets(p.Now)
		p.Roles[role].Signed.Version = 0
	}
	p.Signers[role] = append(p.Signers[role], k)
	return k
}

// Put lets role say that target path is content.
func (p *Publisher) Put(role, target, content string) {
	sum := sha256.Sum256([]byte(content))
	p.Roles[role].Signed.Targets[target] = &metadata.TargetFiles{
		Length: int64(len(content)), Hashes: metadata.Hashes{"sha256": sum[:]}, Path: target,
	}
	p.store("target/"+target, []byte(content))
}

// Publish makes the next version of each of roles, then of snapshot and timestamp.
func (p *Publisher) Publish(roles ...string) {
	for _, role := range roles {
		m := p.Roles[role]
		m.Signed.Version++
		m.Signed.Expires = p.expires()
		b := encode(m, &m.Signed.UnrecognizedFields, p, role)
		p.store(name(role, m.Signed.Version), b)
		p.Snapshot.Signed.Meta[role+".json"] = p.meta(b, m.Signed.Version)
	}
	p.PublishSnapshot()
	p.PublishTimestamp()
}

// PublishSnapshot makes the next version of snapshot.
func (p *Publisher) PublishSnapshot() {
	m := p.Snapshot
	m.Signed.Version++
	m.Signed.Expires = p.expires()
	b := encode(m, &m.Signed.UnrecognizedFields, p, metadata.SNAPSHOT)
	p.store(name(metadata.SNAPSHOT, m.Signed.Version), b)
	p.Timestamp.Signed.Meta["snapshot.json"] = p.meta(b, m.Signed.Version)
}

// PublishTimestamp makes the next version of timestamp.
func (p *Publisher) PublishTimestamp() {
	m := p.Timestamp
	m.Signed.Version++
	m.Signed.Expires = p.expires()
	p.store("timestamp.json", encode(m, &m.Signed.UnrecognizedFields, p, metadata.TIMESTAMP))
}

// PublishRoot makes the next version of root.
func (p *Publisher) PublishRoot() {
	m := p.Root
	m.Signed.Version++
	m.Signed.Expires = p.expires()
	p.store(name(metadata.ROOT, m.Signed.Version), encode(m, &m.Signed.UnrecognizedFields, p, metadata.ROOT))
}

func (p *Publisher) expires() time.Time { return p.Now.Add(p.Lifetime).UTC().Truncate(time.Second) }

func (p *Publisher) meta(b []byte, version int64) *metadata.MetaFiles {
	m := &metadata.MetaFiles{Version: version}
	if p.Hashes {
		sum := sha256.Sum256(b)
		m.Length, m.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	}
	return m
}

func encode[T metadata.Roles](m *metadata.Metadata[T], fields *map[string]any, p *Publisher, role string) []byte {
	*fields = maps.Clone(*fields)
	if *fields == nil {
		*fields = map[string]any{}
	}
	delete(*fields, SignedAt)
	if !p.NoStamp {
		(*fields)[SignedAt] = p.Now.UTC().Format(time.RFC3339)
	}
	payload, err := cjson.EncodeCanonical(m.Signed)
	if err != nil {
		panic(err)
	}
	m.Signatures = nil
	for _, k := range p.Signers[role] {
		m.Signatures = append(m.Signatures, metadata.Signature{KeyID: k.ID, Signature: ed25519.Sign(k.private, payload)})
	}
	b, err := m.ToBytes(false)
	if err != nil {
		panic(err)
	}
	return b
}

func name(role string, version int64) string {
	return strconv.FormatInt(version, 10) + "." + url.PathEscape(role) + ".json"
}

// Files returns a copy of everything published: a state to go back to with SetFiles.
func (p *Publisher) Files() map[string][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.files)
}

// SetFiles replaces everything published.
func (p *Publisher) SetFiles(files map[string][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = maps.Clone(files)
}

// SetFile replaces one file; nil removes it.
func (p *Publisher) SetFile(name string, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b == nil {
		delete(p.files, name)
		return
	}
	p.files[name] = b
}

func (p *Publisher) store(name string, b []byte) { p.SetFile(name, b) }

// Requests returns the names that were asked for since the last call.
func (p *Publisher) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.requests
	p.requests = nil
	return out
}

// Metadata makes a Publisher a source of metadata. It ignores limit, as an attacker does.
func (p *Publisher) Metadata(ctx context.Context, name string, _ int64) ([]byte, error) {
	p.mu.Lock()
	p.requests = append(p.requests, name)
	b := slices.Clone(p.files[name])
	serve := p.Serve
	p.mu.Unlock()
	if serve != nil {
		var err error
		if b, err = serve(name, b); err != nil {
			return nil, err
		}
	}
	if b == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, ctx.Err()
}

// Handler serves metadata below /metadata/ and targets, by digest and name, below /targets/. Names
// in endless are sent without end.
func (p *Publisher) Handler(endless ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dir, file := path.Split(r.URL.EscapedPath())
		if slices.Contains(endless, file) {
			junk := make([]byte, 32<<10)
			for {
				if _, err := w.Write(junk); err != nil {
					return
				}
			}
		}
		var b []byte
		var err error
		if dir == "/metadata/" {
			b, err = p.Metadata(r.Context(), file, 0)
		} else {
			b, err = p.target(r.URL.Path)
		}
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		_, _ = w.Write(b)
	})
}

// target returns the content for "/targets/DIR/DIGEST.NAME".
func (p *Publisher) target(urlPath string) ([]byte, error) {
	dir, file := path.Split(urlPath)
	const prefix = 64 + 1
	if len(file) <= prefix || len(dir) < len("/targets/") {
		return nil, fs.ErrNotExist
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.files["target/"+dir[len("/targets/"):]+file[prefix:]]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return b, nil
}
