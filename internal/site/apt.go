package site

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/cache"
	"overland/internal/ecosystem/apt"
	"overland/internal/record"
)

// openAPT opens apt's protocol: the archives of this machine's sources. An upstream that is given is a mirror in place of
// one of them, or a whole line of a sources.list beside them.
func openAPT(_ context.Context, o opening) (record.Protocol, error) {
	sources, err := apt.MachineSources()
	if err != nil {
		return nil, err
	}
	for _, own := range o.own {
		if strings.HasPrefix(own, "deb") {
			more, err := apt.ParseSource(own)
			if err != nil {
				return nil, fmt.Errorf("upstream %q: %w", own, err)
			}
			sources = append(sources, more...)
			continue
		}
		if sources, err = apt.Redirect(sources, own); err != nil {
			return nil, err
		}
	}
	return apt.New(sources, apt.Options{History: o.keeper})
}

// envAPT makes the cache apt's proxy: the machine's sources stay as they are. What is frozen expires, and is meant to stay.
func envAPT(f face) string {
	u, err := url.Parse(f.base)
	if err != nil || u.Path != "" {
		return "" // a proxy has an address and no path
	}
	settings := ""
	if f.freeze != "" {
		u.User = url.User(f.freeze)
		settings = ` Acquire::Check-Valid-Until "false";`
	}
	return fmt.Sprintf(`echo 'Acquire::http::Proxy "%s";%s' > /etc/apt/apt.conf.d/99overland && apt-get update`, u, settings)
}

// proxied answers by next what apt asks of a proxy: files of archives that p has sources of, and nothing else. A name that
// comes with the proxy's address is that of a freeze.
func proxied(p *apt.Protocol, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "" {
			next.ServeHTTP(w, r)
			return
		}
		below := ""
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			below = p.Below(r.URL)
		}
		if below == "" {
			http.Error(w, "overland: not in a source of the site: "+r.URL.Redacted(), http.StatusForbidden)
			return
		}
		mount := "/" + p.Name()
		asked := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		if freeze, _, ok := asked.BasicAuth(); ok && freeze != "" {
			if !cache.ValidName(freeze) {
				http.Error(w, "overland: no name of a freeze", http.StatusForbidden)
				return
			}
			mount = "/at/" + freeze + mount
		}
		inner := r.Clone(r.Context())
		inner.URL = &url.URL{Path: mount + below}
		next.ServeHTTP(w, inner)
	})
}
