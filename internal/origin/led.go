package origin

import (
	"errors"
	"net/http"
	"net/url"

	"overland/internal/errs"
)

// Led returns rt for somebody else's client of the server at base: where that server leads it, by redirects, by where an
// upload goes on or by who gives passes, is never nearer than base itself, nor without TLS. Its error is errs.Untrusted.
func Led(rt http.RoundTripper, base *url.URL) http.RoundTripper { return led{rt, base} }

type led struct {
	rt   http.RoundTripper
	base *url.URL
}

// RoundTrip implements http.RoundTripper.
func (l led) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == l.base.Host {
		return l.rt.RoundTrip(r)
	}
	if r.URL.Scheme != "https" {
		return nil, errs.Errorf(errs.Untrusted, "%s leads to %.200q, without TLS", l.base.Host, r.URL.Host)
	}
	res, _, err := noNearer(l.rt, r, reachOfOrigin(r.Context(), l.base.String()), reachOf)
	if errors.Is(err, errNear) {
		err = errs.Errorf(errs.Untrusted, "%s leads to %.200q, which is nearer than itself", l.base.Host, r.URL.Host)
	}
	return res, err
}
