package cache

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/cache"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/record"
)

// New returns the face of c for tools: each protocol of served is below /NAME/, and as of a freeze
// below /at/FREEZE/NAME/. It also answers proxy requests, for archives that are served and nothing
// else.
func New(c *cache.Cache, served ...*tool.Server) http.Handler {
	var list []record.Protocol
	for _, s := range served {
		list = append(list, s.Protocol)
	}
	c.Serve(list...)
	f := &face{c: c, protocols: map[string]record.Protocol{}}
	for _, s := range served {
		f.protocols[mountOf(s)] = s.Protocol
		if s.Below != nil {
			f.proxied = append(f.proxied, s)
		}
	}
	return f
}

// mountOf returns the folder below which s is served.
func mountOf(s *tool.Server) string { return cmp.Or(s.Mount, s.Protocol.Name()) }

func byName(list []record.Protocol) map[string]record.Protocol {
	by := map[string]record.Protocol{}
	for _, p := range list {
		by[p.Name()] = p
	}
	return by
}

type face struct {
	c         *cache.Cache
	protocols map[string]record.Protocol // by mount
	proxied   []*tool.Server             // those whose tools use the cache as their proxy
	errors    httpx.Errors
}

func (f *face) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Host != "" && len(f.proxied) > 0 {
		f.proxy(w, r)
		return
	}
	freeze, rest := "", r.URL.Path
	if s, ok := strings.CutPrefix(rest, "/at/"); ok {
		freeze, _, _ = strings.Cut(s, "/")
		rest = strings.TrimPrefix(rest, "/at/"+freeze)
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	p := f.protocols[name]
	if p == nil {
		f.errors.Write(w, r, errs.Errorf(errs.NotFound, "no protocol is served here: %s", r.URL.Path))
		return
	}
	prefix := strings.TrimSuffix(r.URL.Path, rest) + "/" + name
	var from record.Getter = f.c
	if strings.HasPrefix(prefix, "/at/") {
		from = f.c.View(freeze)
	}
	http.StripPrefix(prefix, f.mount(from, p, prefix)).ServeHTTP(w, r)
}

// mount answers requests of one protocol, whose mount is at prefix.
func (f *face) mount(from record.Getter, p record.Protocol, prefix string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost:
		default:
			w.Header().Set("Allow", "GET, HEAD, POST")
			f.errors.Write(w, r, httpx.WithStatus(errs.Errorf(errs.Invalid, "the cache is read with GET and HEAD"),
				http.StatusMethodNotAllowed))
			return
		}
		it, err := p.Item(r)
		if err != nil {
			f.errors.Write(w, r, err)
			return
		}
		base := url.URL{Scheme: "http", Host: r.Host, Path: prefix}
		if r.TLS != nil {
			base.Scheme = "https"
		}
		record.Answer(w, r, from, p, it, base.String())
	})
}

// proxy answers a tool's request to its proxy by the protocol that has the URL. A user name in the
// proxy's address is the name of a freeze.
func (f *face) proxy(w http.ResponseWriter, r *http.Request) {
	name, below := "", ""
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		for _, s := range f.proxied {
			if below = s.Below(r.URL); below != "" {
				name = mountOf(s)
				break
			}
		}
	}
	if below == "" {
		f.errors.Write(w, r, errs.Errorf(errs.Denied, "not in a source of the site: %s", httpx.RedactedURL(r.URL)))
		return
	}
	mount := "/" + name
	asked := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	if freeze, _, ok := asked.BasicAuth(); ok && freeze != "" {
		if !cache.ValidName(freeze) {
			f.errors.Write(w, r, errs.Errorf(errs.Denied, "not the name of a freeze: %.80q", freeze))
			return
		}
		mount = "/at/" + freeze + mount
	}
	inner := r.Clone(r.Context())
	inner.URL = &url.URL{Path: mount + below}
	f.ServeHTTP(w, inner)
}
