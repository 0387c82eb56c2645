package npm

import (
	"cmp"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"overland/internal/ecosystem/tool"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
	"overland/internal/store"
)

// addresses returns the address of each registry, the longest first, with what answers there. l is
// the lock of a replay, with its blobs: the registries that its documents name answer too, for a
// project whose files name them on a machine that is configured for others. nil = a recording.
func (p *Protocol) addresses(ctx context.Context, l *lockfile.Lock, blobs store.Opener) (list []tool.Address) {
	all := map[string]*registry{}
	add := func(base string, has func(q request) bool) {
		if base != "" && all[base] == nil {
			all[base] = &registry{Protocol: p, has: has, lock: l, base: base}
		}
	}
	for _, s := range p.config.all() {
		add(asAsked(s), func(q request) bool { return asAsked(p.config.registry(q)) == asAsked(s) })
	}
	for base, scopes := range lockedRegistries(ctx, l, blobs) {
		add(base, func(q request) bool { return slices.Contains(scopes, q.scope()) })
	}
	byLength := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	for _, base := range slices.SortedFunc(maps.Keys(all), byLength) {
		list = append(list, tool.Address{Base: base, Protocol: all[base]})
	}
	return list
}

// asAsked returns a registry's address as a proxy sees it in requests, with a slash at the end: no
// password, and no port that goes without saying. "" when it is none.
func asAsked(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	u.User, u.Host = nil, strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return slashed(u.String())
}

// registry is one registry at its own address, for clients that know nothing of a recorder: what
// they get is unchanged, and they send their own login.
type registry struct {
	*Protocol
	has  func(q request) bool // whether it is the registry of q's package
	lock *lockfile.Lock       // of a replay; nil = none
	base string
}

var _ record.Locator = (*registry)(nil)

// Item implements record.Protocol. What is not this registry's, such as a tarball with a query, is
// left to plain URLs.
func (r *registry) Item(req *http.Request) (record.Item, error) {
	q, err := parsePath(req.URL.Path)
	if err != nil || !r.has(q) || req.URL.RawQuery != "" {
		return record.Item{}, errs.Errorf(errs.Invalid, "npm: %.200s is not this registry's", req.URL.Path)
	}
	it, err := r.Protocol.Item(req)
	if err != nil {
		return it, err
	}
	if r.plain(it, req.URL) {
		return record.Item{}, errs.Errorf(errs.Invalid, "npm: %s was recorded as a plain URL", it.Key)
	}
	if own := req.Header.Values("Authorization"); len(own) > 0 {
		it.Header["Authorization"] = own
	}
	return it, nil
}

// plain reports whether a replay has it only as a plain URL: where it was recorded, npm had
// another registry.
func (r *registry) plain(it record.Item, at *url.URL) bool {
	if r.lock == nil {
		return false
	}
	if _, ok := r.lock.Find(Name, it.Key); ok {
		return false
	}
	address := strings.TrimSuffix(r.base, "/") + at.EscapedPath()
	return slices.ContainsFunc(r.lock.Entries, func(e lockfile.Entry) bool {
		return e.Protocol != Name && strings.HasPrefix(e.Key, address)
	})
}

// Locate implements record.Locator: it is where it was asked for.
func (r *registry) Locate(_ context.Context, it record.Item, _ record.Lookup) (record.Item, error) {
	return it, nil
}

// Serve implements record.Protocol: documents as the registry sent them.
func (r *registry) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, cmp.Or(e.MediaType, "application/octet-stream"), nil
}

// lockedRegistries returns the registries whose documents are in l, with the scopes of their
// packages ("" = none): a document says where its tarballs are. One of each scope is read, the
// smallest.
func lockedRegistries(ctx context.Context, l *lockfile.Lock, blobs store.Opener) map[string][]string {
	if l == nil || blobs == nil {
		return nil
	}
	smallest := map[string]lockfile.Entry{}
	for _, e := range l.Entries {
		q, err := parsePath(strings.TrimSuffix(e.Key, shortMark))
		if e.Protocol != Name || !e.Exists() || err != nil || q.File != "" {
			continue
		}
		if old, ok := smallest[q.scope()]; !ok || e.Size < old.Size {
			smallest[q.scope()] = e
		}
	}
	found := map[string][]string{}
	for scope, e := range smallest {
		if base := lockedRegistry(ctx, e, blobs); base != "" {
			found[base] = append(found[base], scope)
		}
	}
	return found
}

// lockedRegistry returns the registry that the document e names as the place of its tarballs;
// "" = none, or one that keeps them in another form.
func lockedRegistry(ctx context.Context, e lockfile.Entry, blobs store.Opener) string {
	b, err := blobs.Open(ctx, e.Blob)
	if err != nil {
		return "" // whoever asks for it is told
	}
	defer b.Close()
	q, err := parsePath(strings.TrimSuffix(e.Key, shortMark))
	if err != nil {
		return ""
	}
	var versions map[string]manifest
	if q.Version != "" {
		m, err := readManifest(b, q.Name, "")
		if err != nil {
			return ""
		}
		versions = map[string]manifest{m.Version: *m}
	} else if d, err := readDocument(b, q.Name); err == nil {
		versions = d.Versions
	}
	for _, m := range versions {
		if before, _, ok := strings.Cut(m.Dist.Tarball, "/"+q.Name+"/-/"); ok {
			return asAsked(before)
		}
	}
	return ""
}

func slashed(base string) string { return strings.TrimRight(base, "/") + "/" }
