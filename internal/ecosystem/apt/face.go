package apt

import (
	"context"
	"net/url"
	"path"
	"slices"
	"strings"

	"overland/internal/deb"
	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/record"
)

// Resolve returns the Item of what it names by the InRelease that have opens: an index is the
// content that this one lists, by its digest, so that both are always of the same day. What the
// InRelease does not list stays as it is.
func (p *Protocol) Resolve(ctx context.Context, it record.Item, have record.Lookup) (record.Item, error) {
	w, err := p.locate(it.Key)
	if err != nil || !it.Mutable || w.rest == "InRelease" {
		return it, err
	}
	r, _, err := p.heldRelease(ctx, path.Join(w.archive.name, w.suite.dir, "InRelease"), have)
	if errs.KindOf(err) == errs.NotFound {
		return it, nil // Check says what to do
	}
	if err != nil {
		return it, err
	}
	f := r.Files[w.rest]
	if f.SHA256 == "" {
		return it, nil
	}
	it.Key, it.Mutable = w.byHash(w.rest, f), false
	if r.ByHash {
		it.Fallback = []string{it.Upstream}
		it.Upstream = w.archive.uri.JoinPath(escape(strings.TrimPrefix(it.Key, w.archive.name+"/"))).String()
	}
	return it, nil
}

// Binds returns the keys of the indexes that the InRelease under key lists, as Resolve has them.
func (p *Protocol) Binds(ctx context.Context, key string, have record.Lookup) ([]string, error) {
	w, err := p.locate(key)
	if err != nil || w.rest != "InRelease" {
		return nil, nil //nolint:nilerr // of a source that is there no more
	}
	r, _, err := p.heldRelease(ctx, key, have)
	if err != nil {
		return nil, err
	}
	var keys []string
	for name, f := range r.Files {
		if f.SHA256 != "" {
			keys = append(keys, w.byHash(name, f))
		}
	}
	return keys, nil
}

// byHash returns the key of the file f that is called name below w's directory.
func (w where) byHash(name string, f deb.File) string {
	return path.Join(w.archive.name, w.suite.dir, path.Dir(name), "by-hash", "SHA256", f.SHA256)
}

// Below returns what u, the whole URL of a file of an archive, is below this protocol's
// mount: "/NAME/pool/…". A mirror that no source names will do if the path identifies the
// archive. "" means that no source has it.
func (p *Protocol) Below(u *url.URL) string {
	for _, sameHost := range []bool{true, false} {
		var best *archive
		longest, several := 0, false
		for _, a := range p.archives {
			at := base(a)
			if !strings.HasPrefix(u.Path, at) || sameHost != (a.uri.Host == u.Host) || !sameHost && at == "/" || len(at) < longest {
				continue
			}
			several = len(at) == longest
			best, longest = a, len(at)
		}
		if best != nil && !several {
			return "/" + best.name + "/" + strings.TrimPrefix(u.Path, base(best))
		}
	}
	return ""
}

// base returns the path of a's URI with a slash at the end.
func base(a *archive) string { return strings.TrimRight(a.uri.Path, "/") + "/" }

// Redirect returns sources with the URI mirror in place of those whose archive has the same path;
// errs.Invalid when there are none.
func Redirect(sources []Source, mirror string) ([]Source, error) {
	to, err := url.Parse(strings.TrimRight(mirror, "/"))
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return nil, errs.Errorf(errs.Invalid, "apt: mirror %.100q", httpx.RedactedText(mirror))
	}
	out := slices.Clone(sources)
	some := false
	for i, s := range out {
		out[i].URIs = slices.Clone(s.URIs)
		for j, raw := range s.URIs {
			if u, err := url.Parse(strings.TrimRight(raw, "/")); err == nil && shortName(u) == shortName(to) {
				out[i].URIs[j], some = to.String(), true
			}
		}
	}
	if !some {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "apt: no source of this machine is called %s", shortName(to)),
			"say more: a whole line of a sources.list, deb [signed-by=/FILE] URL SUITE COMPONENT…")
	}
	return out, nil
}

// ParseSource returns the entry of line, one of a sources.list.
func ParseSource(line string) ([]Source, error) { return parseList([]byte(line)) }
