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
	held bool
}

// Over serves by next, with requests that know their way. self is this site, asked are the sites that it asks: what one
// of them asks for is not asked of them again.
func Over(self string, asked []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids := parse(r.Header.Values(header))
		t := trail{ids: append(ids, self), held: len(ids) >= Limit}
		for _, id := range ids {
			t.held = t.held || id == self || slices.Contains(asked, id)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, t)))
	})
}

// parse returns the sites in the lines of Via, at most Limit of them. Proxies of other kinds are passed over.
func parse(lines []string) []string {
	var ids []string
	for _, line := range lines {
		for hop := range strings.SplitSeq(line, ",") {
			id, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(hop), version), " ")
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

// Held reports whether the request of ctx is to be answered from what is held, and nothing asked elsewhere for it.
func Held(ctx context.Context) bool {
	t, _ := ctx.Value(key{}).(trail)
	return t.held
}

// Passed reports whether the request of ctx came through another site.
func Passed(ctx context.Context) bool {
	t, _ := ctx.Value(key{}).(trail)
	return len(t.ids) > 1
}

// Forward writes the way of the request that ctx is about into the header of one that is sent on. Origins, which are no
// sites, are not told.
func Forward(ctx context.Context, h http.Header) {
	t, _ := ctx.Value(key{}).(trail)
	for _, id := range t.ids {
		h.Add(header, version+id)
	}
}
