package plain

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Name is the protocol's name in locks.
const Name = "url"

// postLimit is the longest body of a POST, in bytes.
const postLimit = 4 << 20

// passed are the request headers that decide what an origin answers.
var passed = [...]string{"Accept", "Authorization", "Content-Type", "Content-Encoding", "Git-Protocol", "User-Agent"}

// ProofPin is the proof of a URL that is pinned: the sha256 that Pins has for it, "sha256:…".
const ProofPin = "sha256"

// Protocol is plain URLs. The zero value works.
type Protocol struct {
	Pins Pins // what must come from which URL; others are taken as they come
}

// Name implements record.Protocol.
func (Protocol) Name() string { return Name }

// Item implements record.Protocol. The URL of r is absolute.
func (Protocol) Item(r *http.Request) (record.Item, error) {
	it := record.Item{Protocol: Name, HTML: true, Login: true, Header: http.Header{}}
	var err error
	if it.Upstream, it.Key, it.Secrets, err = canonical(r.URL); err != nil {
		return it, err
	}
	for _, name := range passed {
		if v := r.Header.Values(name); len(v) > 0 {
			it.Header[name] = v
		}
	}
	if r.Method != http.MethodPost {
		return it, nil
	}
	body, err := fsx.Read(r.Body, "POST "+it.Key, postLimit)
	if err != nil {
		return it, errs.E(errs.Invalid, err)
	}
	it.Method, it.Body = http.MethodPost, body
	it.Key = "POST " + it.Key + " " + string(digest.Of(body))
	return it, nil
}

// ItemOf implements record.Protocol, for what is asked for with GET.
func (p Protocol) ItemOf(key string) (record.Item, error) {
	u, err := url.Parse(key)
	if err != nil {
		return record.Item{}, errs.E(errs.Invalid, err)
	}
	return p.Item(&http.Request{Method: http.MethodGet, URL: u})
}

// Check implements record.Protocol: a plain URL has no proof but a pin.
func (p Protocol) Check(_ context.Context, it record.Item, body io.ReadSeeker, _ record.Lookup) (lockfile.Proof, error) {
	want, pinned := p.Pins[it.Key]
	if !pinned {
		return lockfile.Proof{}, nil
	}
	h := digest.New()
	if _, err := io.Copy(h, body); err != nil {
		return lockfile.Proof{}, err
	}
	if got := h.Digest(); got != want {
		return lockfile.Proof{}, errs.Hint(errs.Errorf(errs.Untrusted, "it has %s, pinned is %s", got, want),
			"somebody changed it, or a web page came in its place: compare with what its maker publishes before you change the pin")
	}
	return proofOf(want), nil
}

// Serve implements record.Protocol.
func (Protocol) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, e.MediaType, nil
}

// canonical returns the URL raw as it is asked for and as a key, one text for all ways to write it,
// and the secrets in it, which the key lacks.
func canonical(raw *url.URL) (address, key, secrets string, _ error) {
	u := url.URL{Scheme: raw.Scheme, Host: strings.ToLower(raw.Host), Path: raw.Path, RawPath: raw.RawPath, RawQuery: raw.RawQuery}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", "", "", errs.Errorf(errs.Invalid, "not an absolute http or https URL: %q", httpx.RedactedURL(raw))
	}
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	u.Path = cmp.Or(u.Path, "/")
	address = u.String()
	if len(address) > lockfile.KeyLimit/2 {
		return "", "", "", errs.Errorf(errs.Invalid, "a URL of %d bytes", len(address))
	}
	u.RawQuery, secrets = httpx.MaskQuery(u.RawQuery)
	return address, u.String(), secrets, nil
}
