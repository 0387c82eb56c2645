package apt

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/record"
)

// addresses returns the URI of each source, the longest first, with what answers below it.
func (p *Protocol) addresses() (list []tool.Address) {
	for _, s := range p.sources {
		for _, raw := range s.URIs {
			u, id := parseURI(raw)
			for name, a := range p.archives {
				if id == "" || s.unproved() || a.uri.Host+a.uri.Path != id {
					continue
				}
				at := *u
				at.User, at.Host = nil, strings.ToLower(u.Host)
				list = append(list, tool.Address{Base: at.String(), Protocol: below{p, name}})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b tool.Address) int { return cmp.Or(len(b.Base)-len(a.Base), strings.Compare(a.Base, b.Base)) })
	return slices.CompactFunc(list, func(a, b tool.Address) bool { return a.Base == b.Base })
}

// below is one archive at its own address: apt sends its login itself, from auth.conf.
type below struct {
	*Protocol
	name string
}

// Item implements record.Protocol. What this protocol cannot prove is left to plain URLs: apt
// checks a Release.gpg itself, and asks for one only where there is no InRelease.
func (b below) Item(r *http.Request) (record.Item, error) {
	named := r.WithContext(r.Context())
	named.URL = &url.URL{Path: "/" + b.name + r.URL.Path, RawQuery: r.URL.RawQuery}
	it, err := b.Protocol.Item(named)
	if key, e := cleanPath(named.URL.Path); e == nil {
		if w, e := b.locate(key); e == nil && b.detached(w) {
			return record.Item{}, errs.Errorf(errs.Invalid, "apt: %s has no InRelease", w.archive.name)
		}
	}
	if own := r.Header.Values("Authorization"); err == nil && len(own) > 0 {
		it.Header = http.Header{"Authorization": own}
	}
	return it, err
}

// detached reports whether w is of a suite whose signature is a file of its own, or of the pool of
// an archive that has only such suites.
func (p *Protocol) detached(w where) bool {
	p.releasesMu.Lock()
	defer p.releasesMu.Unlock()
	if w.suite == nil {
		return !slices.ContainsFunc(w.archive.suites, func(s *suite) bool { return !p.apart[s] })
	}
	if w.rest == "Release" || w.rest == "Release.gpg" { // not those of a component, below it
		p.apart[w.suite] = true
	}
	return p.apart[w.suite]
}
