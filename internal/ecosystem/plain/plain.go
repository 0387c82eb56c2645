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

// bodyLimit is the longest body of a request, in bytes.
const bodyLimit = 64 << 20

// ProofPin is the proof of a URL that is pinned: the sha256 that Pins has for it, "sha256:…".
const ProofPin = "sha256"

// Protocol is plain URLs. The zero value works.
type Protocol struct {
	Pins Pins // what must come from which URL; others are taken as they come
}

// Name implements record.Protocol.
func (Protocol) Name() string { return Name }

// Item implements record.Protocol. The URL of r is absolute. What a client sends besides reaches the
// origin, apart from what is between the client and a proxy.
func (p Protocol) Item(r *http.Request) (record.Item, error) {
	it := record.Item{Protocol: Name, HTML: true, Whole: true}
	var err error
	if it.Upstream, it.Key, it.Secrets, err = canonical(r.URL); err != nil {
		return it, err
	}
	it.Header = passed(r.Header)
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		for _, name := range []string{"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since"} {
			it.Header.Del(name) // the whole is asked for, and conditions are answered here
		}
		if _, it.Follow = p.Pins[it.Key]; it.Follow {
			it.Header.Del("Range")
		}
		return fixGit(it)
	}
	if strings.Trim(r.Method, letters) != "" || len(r.Method) > len(letters) {
		return it, errs.Errorf(errs.Invalid, "%.100q is not a method that is recorded", r.Method)
	}
	if r.Body != nil {
		if it.Body, err = fsx.Read(r.Body, r.Method+" "+it.Key, bodyLimit); err != nil {
			return it, errs.E(errs.Invalid, err)
		}
	}
	it.Method, it.Once = r.Method, true
	if it, err = fixGit(it); err != nil {
		return it, err
	}
	it.Key = it.Method + " " + it.Key + " " + string(digest.Of(it.Body))
	return it, keyFits(it.Key)
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

// passed returns the header of a request as the origin gets it.
func passed(h http.Header) http.Header {
	out := h.Clone()
	if out == nil {
		out = http.Header{}
	}
	for _, v := range h["Connection"] {
		for name := range strings.SplitSeq(v, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range []string{
		"Connection", "Content-Length", "Expect", "Host", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	} {
		out.Del(name)
	}
	if len(out["User-Agent"]) == 0 {
		out["User-Agent"] = []string{""} // and not that of our own client
	}
	return out
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
	u.RawQuery, secrets = httpx.MaskQuery(u.RawQuery)
	key = u.String()
	return address, key, secrets, keyFits(key)
}

func keyFits(key string) error {
	if len(key) > lockfile.KeyLimit {
		return errs.Errorf(errs.Invalid, "%.100s… is a request with an address of %d bytes: a lock holds %d", key, len(key), lockfile.KeyLimit)
	}
	return nil
}
