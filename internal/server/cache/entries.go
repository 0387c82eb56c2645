package cache

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/cache"
	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/record"
)

// Entries returns the face of c for other sites: GET PREFIX/PROTOCOL/KEY, with the key escaped as
// one segment, returns which blob the cache holds for it. The cache fetches it first if necessary.
func Entries(c *cache.Cache, prefix string, served ...*tool.Server) http.Handler {
	var list []record.Protocol
	for _, s := range served {
		list = append(list, s.Protocol)
	}
	by := byName(list)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := find(w, r, c, by, strings.TrimPrefix(r.URL.EscapedPath(), prefix+"/"))
		if err != nil {
			httpx.Errors{}.Write(w, r, err)
			return
		}
		body, err := json.Marshal(f)
		if err != nil {
			panic(err) // strings and a number always marshal
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	})
}

func find(w http.ResponseWriter, r *http.Request, c *cache.Cache, by map[string]record.Protocol, path string) (f cache.Found, err error) {
	if r.Method != http.MethodGet || r.URL.RawQuery != "" {
		return f, errs.Errorf(errs.Invalid, "only GET, without a query")
	}
	name, escaped, _ := strings.Cut(path, "/")
	key, err := url.PathUnescape(escaped)
	p := by[name]
	if err != nil || p == nil {
		return f, errs.Errorf(errs.NotFound, "no protocol %.40q is served here", name)
	}
	it, err := record.ItemOf(p, key)
	if err != nil {
		return f, err
	}
	ctx, done := record.Follow(r.Context())
	err = httpx.Wait(w, r, done, func() error {
		f, err = c.Find(ctx, p, it)
		return err
	})
	return f, err
}
