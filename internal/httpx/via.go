package httpx

import (
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

// Limit is how many sites a request may come through.
const Limit = 8

const (
	header  = "Via"
	version = "1.1 "
	prefix  = "overland-"
	idBytes = 8 // of the pin: enough to tell a person's sites apart
)

// ID returns what a site with this pin is called in Via.
func ID(pin [32]byte) string { return prefix + hex.EncodeToString(pin[:idBytes]) }

type key struct{}

// trail is the way of a request until here.
type trail struct {
	ids  []string // of the sites, this one last
	only bool     // it is answered from what is here
}

// WithVia returns next for requests that know their way. self is this site; upstreams are the sites
// that it asks, which are not asked for something that one of them requested.
func WithVia(self string, upstreams []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids := parse(r.Header.Values(header))
		t := trail{ids: append(ids, self), only: len(ids) >= Limit}
		for _, id := range ids {
			t.only = t.only || id == self || slices.Contains(upstreams, id)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, t)))
	})
}

// parse returns the sites in the lines of Via, at most Limit of them.
// Proxies of other kinds are skipped.
func parse(lines []string) []string {
	var ids []string
	for _, line := range lines {
		for entry := range strings.SplitSeq(line, ",") {
			id, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(entry), version), " ")
			hexa, ours := strings.CutPrefix(id, prefix)
			if !ours || len(hexa) != 2*idBytes || strings.Trim(hexa, "0123456789abcdef") != "" {
				continue
			}
			if ids = append(ids, id); len(ids) == Limit {
				return ids
			}
		}
	}
	return ids
}

// OnlyIfCached reports whether the request of ctx is to be answered from what is here, and
// nothing asked elsewhere for it: it has come here before, it comes from an upstream of
// this site, or it has come too far.
func OnlyIfCached(ctx context.Context) bool {
	t, _ := ctx.Value(key{}).(trail)
	return t.only
}

// Relayed reports whether the request of ctx came through another site.
func Relayed(ctx context.Context) bool {
	t, _ := ctx.Value(key{}).(trail)
	return len(t.ids) > 1
}

// Forward writes the way of the request that ctx is about into the header of one that is sent on.
// Origins, which are not sites, are not told.
func Forward(ctx context.Context, h http.Header) {
	t, _ := ctx.Value(key{}).(trail)
	for _, id := range t.ids {
		h.Add(header, version+id)
	}
}
