package plain

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/record"
)

// Name is the protocol's name in locks.
const Name = "url"

// postLimit is the longest body of a POST, in bytes.
const postLimit = 4 << 20

// passed are the request headers that decide what an origin answers.
var passed = [...]string{"Accept", "Authorization", "Content-Type", "Content-Encoding", "Git-Protocol", "User-Agent"}

// Protocol is plain URLs. The zero value works.
type Protocol struct{}

// Name implements record.Protocol.
func (Protocol) Name() string { return Name }

// Item implements record.Protocol. The URL of r is absolute.
func (Protocol) Item(r *http.Request) (record.Item, error) {
	it := record.Item{Protocol: Name, HTML: true, Header: http.Header{}}
	u := url.URL{Scheme: r.URL.Scheme, Host: strings.ToLower(r.URL.Host), Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return it, errs.Errorf(errs.Invalid, "not an absolute http or https URL: %q", r.URL.Redacted())
	}
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port())
	}
	if u.Path == "" {
		u.Path = "/"
	}
	it.Key = u.String()
	it.Upstream = it.Key
	if len(it.Key) > record.KeyLimit/2 {
		return it, errs.Errorf(errs.Invalid, "a URL of %d bytes", len(it.Key))
	}
	for _, name := range passed {
		if v := r.Header.Values(name); len(v) > 0 {
			it.Header[name] = v
		}
	}
	if r.Method != http.MethodPost {
		return it, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, postLimit+1))
	if err != nil || len(body) > postLimit {
		return it, errs.Errorf(errs.Invalid, "POST %s: more than %d bytes, or cut: %w", it.Key, postLimit, err)
	}
	it.Method, it.Body = http.MethodPost, body
	it.Key = "POST " + it.Key + " " + string(digest.Of(body))
	return it, nil
}

// Check implements record.Protocol: a plain URL has no proof of its own.
func (Protocol) Check(context.Context, record.Item, io.ReadSeeker, record.Lookup) (record.Proof, error) {
	return record.Proof{}, nil
}

// Serve implements record.Protocol.
func (Protocol) Serve(_ record.Item, e record.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, e.MediaType, nil
}
