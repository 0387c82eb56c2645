package site

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"overland/internal/errs"
	"overland/internal/httpx"
)

// Role is what a client must be for a route to answer it.
type Role string

// Anyone is everybody who reaches the listener. It is the only role so far: the network
// cache knows its writers itself.
const Anyone Role = "anyone"

// Route is a part of what a listener answers.
type Route struct {
	// Prefix of the path, as it was sent: nothing is decoded, cleaned or redirected. "/" takes what
	// no other route takes; any other prefix ends where a segment ends.
	Prefix  string
	Role    Role
	Handler http.Handler
}

// Guard returns next for the clients that have role, and an answer of its own for others.
type Guard func(role Role, next http.Handler) http.Handler

// noAccounts is the Guard of a site that knows none: what needs a role is refused.
func noAccounts(role Role, next http.Handler) http.Handler {
	if role == Anyone {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		httpx.Errors{Form: httpx.JSON}.Write(w, r, errs.Errorf(errs.Denied, "this needs the role %s", role))
	})
}

// router answers each request by the route with the longest prefix, behind guard.
// Without one the answer is 404.
func router(routes []Route, guard Guard) http.Handler {
	guarded := slices.Clone(routes)
	slices.SortStableFunc(guarded, func(a, b Route) int { return cmp.Compare(len(b.Prefix), len(a.Prefix)) })
	for i, r := range guarded {
		guarded[i].Handler = guard(r.Role, r.Handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.EscapedPath()
		for _, route := range guarded {
			if rest, ok := strings.CutPrefix(path, route.Prefix); route.Prefix == "/" || ok && (rest == "" || rest[0] == '/') {
				route.Handler.ServeHTTP(w, r)
				return
			}
		}
		http.NotFound(w, r)
	})
}
