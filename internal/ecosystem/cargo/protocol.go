package cargo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Name is the protocol's name in locks.
const Name = "cargo"

// Kinds of proof.
const (
	ProofCrate = "cargo-cksum" // of a crate: the sha256 that the index has
	ProofIndex = "cargo-index" // of an index file or config.json: a registry does not sign; the lock pins it
)

const crateLimit = 512 << 20 // bytes of a crate

// Protocol is record's protocol for sparse registries. It is safe for concurrent use.
type Protocol struct {
	// getter, which serves this protocol, fetches config.json and index files that are not held;
	// nil = crates that need one are refused.
	getter   record.Getter
	registry func(context.Context) (string, error)
}

var (
	_ record.Protocol = (*Protocol)(nil)
	_ record.Locator  = (*Protocol)(nil)
)

// New returns the protocol for the registry at the http or https URL registry, as cargo's
// configuration writes it, with "sparse+" before it, or without. getter serves it.
func New(registry string, getter record.Getter) (*Protocol, error) {
	s := strings.TrimPrefix(registry, "sparse+")
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "cargo registry %.200q is not the URL of a sparse registry", httpx.Redacted(registry)),
			"write it like sparse+https://HOST/index/")
	}
	s = strings.TrimRight(s, "/") + "/"
	return &Protocol{getter: getter, registry: func(context.Context) (string, error) { return s, nil }}, nil
}

// Machine returns the protocol for the registry that cargo itself uses for crates-io (see
// Discover); getter is as for New. cargo is asked before the first fetch.
func Machine(getter record.Getter) *Protocol {
	var mu sync.Mutex
	known := ""
	return &Protocol{getter: getter, registry: func(ctx context.Context) (_ string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if known == "" {
			known, err = Discover(ctx, "")
		}
		return known, err
	}}
}

// Held returns the protocol for what a lock holds already: no registry is known, and no cargo is
// asked for one. getter is as for New.
func Held(getter record.Getter) *Protocol {
	return &Protocol{getter: getter, registry: func(context.Context) (string, error) {
		return "", errs.Errorf(errs.NotFound, "the registry is not known: only what is locked is here")
	}}
}

// Name implements record.Protocol.
func (p *Protocol) Name() string { return Name }

// Item implements record.Protocol.
func (p *Protocol) Item(r *http.Request) (record.Item, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return record.Item{}, errs.Errorf(errs.Invalid, "cargo: %s %.200q is not recorded", r.Method, r.URL.Path)
	}
	q, err := parsePath(r.URL.Path)
	return item(q), err
}

// ItemOf implements record.Protocol.
func (p *Protocol) ItemOf(key string) (record.Item, error) {
	q, err := parseKey(key)
	return item(q), err
}

// item returns the Item of q, but for its address.
func item(q request) record.Item {
	it := record.Item{Protocol: Name, Key: q.key(), Limit: crateLimit}
	switch {
	case q.Name == "":
		it.Limit, it.Mutable = configLimit, true
	case q.Version == "":
		it.Limit, it.Mutable = indexLimit, true
	}
	return it
}

// Locate implements record.Locator: config.json says where crates are.
func (p *Protocol) Locate(ctx context.Context, it record.Item, have record.Lookup) (record.Item, error) {
	q, err := parseKey(it.Key)
	if err != nil {
		return it, err
	}
	if q.Version == "" {
		base, err := p.registry(ctx)
		if err != nil {
			return it, err
		}
		it.Upstream = base + configFile
		if q.Name != "" {
			it.Upstream = base + q.path()
		}
		return it, nil
	}
	sum, err := p.cksum(ctx, q, have)
	if err != nil {
		return it, err
	}
	r, err := p.open(ctx, request{}, have)
	if err != nil {
		return it, err
	}
	defer r.Close()
	c, err := readConfig(r)
	if err != nil {
		return it, err
	}
	if base, err := p.registry(ctx); err == nil {
		it.Named = base
	}
	it.Upstream, err = c.crate(q, sum)
	return it, err
}

// Check implements record.Protocol.
func (p *Protocol) Check(ctx context.Context, it record.Item, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	q, err := parseKey(it.Key)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if q.Version == "" {
		if q.Name == "" {
			_, err = readConfig(body)
		} else {
			_, err = readIndex(body, q.Name)
		}
		return lockfile.Proof{Kind: ProofIndex, Value: q.Name}, err
	}
	want, err := p.cksum(ctx, q, have)
	if err != nil {
		return lockfile.Proof{}, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return lockfile.Proof{}, err
	}
	got := hex.EncodeToString(h.Sum(nil))
	if got != want {
		return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "sha256 %s, the index has %s", got, want)
	}
	return lockfile.Proof{Kind: ProofCrate, Value: got}, nil
}

// cksum returns what the index has of the crate q: from what the session holds, else from the
// registry. A version that is not in it is errs.NotFound.
func (p *Protocol) cksum(ctx context.Context, q request, have record.Lookup) (string, error) {
	file := request{Name: strings.ToLower(q.Name)}
	for _, from := range []record.Lookup{have, p.lookup} {
		r, err := from(ctx, file.key())
		if errs.KindOf(err) == errs.NotFound {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("index of %s: %w", q.Name, err)
		}
		x, err := readIndex(r, file.Name)
		r.Close()
		if sum, ok := x[q.Version]; ok || err != nil {
			return sum, err
		}
	}
	return "", errs.Errorf(errs.NotFound, "the index names no %s %s", q.Name, q.Version)
}

// open opens what the session holds of q, else what the registry has.
func (p *Protocol) open(ctx context.Context, q request, have record.Lookup) (io.ReadCloser, error) {
	r, err := have(ctx, q.key())
	if errs.KindOf(err) == errs.NotFound {
		return p.lookup(ctx, q.key())
	}
	return r, err
}

// lookup opens what the registry has under key, through the getter.
func (p *Protocol) lookup(ctx context.Context, key string) (io.ReadCloser, error) {
	none := errs.Errorf(errs.NotFound, "cargo %s: not found", key)
	q, err := parseKey(key)
	if err != nil || p.getter == nil {
		return nil, cmp.Or(err, none)
	}
	_, blob, err := p.getter.Get(ctx, p, item(q))
	if err == nil && blob == nil {
		err = none
	}
	return blob, err
}

// Serve implements record.Protocol: config.json says that crates are below base, and nothing else.
func (p *Protocol) Serve(it record.Item, e lockfile.Entry, body io.Reader, base string) (io.Reader, string, error) {
	if it.Key != configFile {
		return body, cmp.Or(e.MediaType, "application/octet-stream"), nil
	}
	b, err := json.Marshal(map[string]string{"dl": strings.TrimRight(base, "/") + "/crates/{crate}/{crate}-{version}" + crateEnd})
	return bytes.NewReader(b), "application/json", err
}
