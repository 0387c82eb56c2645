package npm

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/digest"
	"overland/internal/ecosystem/jsonedit"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

const (
	documentLimit = 256 << 20 // bytes of a packument; the largest ones have 60 MB
	tarballLimit  = 2 << 30   // bytes of a tarball

	short     = "application/vnd.npm.install-v1+json" // the media type of the short packument
	shortMark = "#install"                            // ends its key; no name has a "#"
)

// Kinds of proof.
const (
	ProofIntegrity = "npm-integrity" // of a tarball: the hash that the registry promises, "sha512-…"
	ProofDocument  = "npm-document"  // of a packument or manifest: the registry does not sign them; the lock pins them
)

// Protocol is record's protocol for npm registries. It is safe for concurrent use.
type Protocol struct {
	config Config
	getter record.Getter
}

var (
	_ record.Protocol = (*Protocol)(nil)
	_ record.Locator  = (*Protocol)(nil)
)

// New returns the protocol for the registries of c (see MachineConfig). getter, which
// serves this protocol, fetches the manifest of a tarball if no document about it is held;
// nil = such a tarball is refused.
func New(c Config, getter record.Getter) (*Protocol, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Protocol{config: c, getter: getter}, nil
}

// Name implements record.Protocol.
func (p *Protocol) Name() string { return Name }

// Item implements record.Protocol.
func (p *Protocol) Item(r *http.Request) (record.Item, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead || strings.HasPrefix(r.URL.Path, "/-/") {
		return record.Item{}, errs.Hint(errs.Errorf(errs.Invalid, "npm: %s %.200q is not recorded", r.Method, r.URL.Path),
			"audits and the like are not part of a build: npm_config_audit=false npm_config_update_notifier=false")
	}
	q, err := parsePath(r.URL.Path)
	if err != nil {
		return record.Item{}, err
	}
	return p.item(q, strings.Contains(r.Header.Get("Accept"), short)), nil
}

// ItemOf implements record.Protocol.
func (p *Protocol) ItemOf(key string) (record.Item, error) {
	name, brief := strings.CutSuffix(key, shortMark)
	q, err := parsePath(name)
	if err != nil {
		return record.Item{}, err
	}
	return p.item(q, brief), nil
}

// item returns the Item of q, in the short form where there is one.
func (p *Protocol) item(q request, brief bool) record.Item {
	it := record.Item{Protocol: Name, Upstream: p.config.registry(q) + q.path(), Header: http.Header{}}
	switch {
	case q.File != "":
		it.Key, it.Limit = q.Name+"/-/"+q.File, tarballLimit
	case q.Version != "":
		it.Key, it.Limit, it.Mutable = q.Name+"/"+q.Version, documentLimit, true
		it.Header.Set("Accept", "application/json")
	case brief:
		it.Key, it.Limit, it.Mutable = q.Name+shortMark, documentLimit, true
		it.Header.Set("Accept", short+"; q=1.0, application/json; q=0.8, */*")
	default:
		it.Key, it.Limit, it.Mutable = q.Name, documentLimit, true
		it.Header.Set("Accept", "application/json")
	}
	if login := p.config.Logins.header(p.config.registry(q)); login != "" {
		it.Header.Set("Authorization", login)
	}
	return it
}

// Check implements record.Protocol.
func (p *Protocol) Check(ctx context.Context, it record.Item, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	q, err := parsePath(strings.TrimSuffix(it.Key, shortMark))
	if err != nil {
		return lockfile.Proof{}, err
	}
	switch {
	case q.File != "":
		d, err := p.promise(ctx, q, it.Header, have)
		if err != nil {
			return lockfile.Proof{}, err
		}
		text, err := d.proof(body)
		return lockfile.Proof{Kind: ProofIntegrity, Value: text}, err
	case q.Version != "":
		version := q.Version
		if version[0] < '0' || version[0] > '9' {
			version = "" // a tag
		}
		m, err := readManifest(body, q.Name, version)
		if err != nil {
			return lockfile.Proof{}, err
		}
		return lockfile.Proof{Kind: ProofDocument, Value: q.Name + "@" + m.Version}, nil
	}
	if _, err := readDocument(body, q.Name); err != nil {
		return lockfile.Proof{}, err
	}
	return lockfile.Proof{Kind: ProofDocument, Value: q.Name}, nil
}

// promise returns what the registry says of the tarball q: from a packument of the
// session, else from its manifest, which is asked for with the login in header.
func (p *Protocol) promise(ctx context.Context, q request, header http.Header, have record.Lookup) (dist, error) {
	version := q.fileVersion()
	for _, key := range []string{q.Name + "/" + version, q.Name + shortMark, q.Name} {
		d, err := p.promised(ctx, q, key, have)
		if errs.KindOf(err) == errs.NotFound {
			continue
		}
		return d, err
	}
	none := errs.Hint(errs.Errorf(errs.Untrusted, "nothing that the registry says of %s %s is recorded", q.Name, q.File),
		"run npm install through the recorder first, so that it asks for the package too")
	if p.getter == nil {
		return dist{}, none
	}
	asked := []request{{Name: q.Name, Version: version}, {Name: q.Name}}
	if version == "" {
		asked = asked[1:]
	}
	for _, doc := range asked {
		it := p.item(doc, true)
		if login := header.Values("Authorization"); len(login) > 0 {
			it.Header["Authorization"] = login
		}
		e, blob, err := p.getter.Get(ctx, p, it)
		if err != nil {
			return dist{}, fmt.Errorf("what the registry says of %s: %w", q.File, err)
		}
		if !e.Exists() {
			continue
		}
		d, err := p.promised(ctx, q, it.Key, func(context.Context, string) (io.ReadCloser, error) { return blob, nil })
		if errs.KindOf(err) != errs.NotFound {
			return d, err
		}
	}
	return dist{}, none
}

// promised returns what the document under key says of the tarball q: errs.NotFound when
// it is not held or says nothing.
func (p *Protocol) promised(ctx context.Context, q request, key string, have record.Lookup) (dist, error) {
	f, err := have(ctx, key)
	if err != nil {
		return dist{}, err
	}
	defer f.Close()
	if strings.HasPrefix(key, q.Name+"/") {
		m, err := readManifest(f, q.Name, q.fileVersion())
		if err != nil {
			return dist{}, err
		}
		return p.of(q, map[string]manifest{m.Version: *m})
	}
	d, err := readDocument(f, q.Name)
	if err != nil {
		return dist{}, err
	}
	return p.of(q, d.Versions)
}

// of returns the dist among versions whose tarball q asks for.
func (p *Protocol) of(q request, versions map[string]manifest) (dist, error) {
	if m, ok := versions[q.fileVersion()]; ok && p.names(q, m.Dist.Tarball) {
		return m.Dist, nil
	}
	for _, m := range versions {
		if p.names(q, m.Dist.Tarball) {
			return m.Dist, nil
		}
	}
	return dist{}, errs.Errorf(errs.NotFound, "no version of %s has the tarball %s", q.Name, q.File)
}

// names reports whether the address of a tarball is that of q: below the registry, or, as in a lock
// that was made with another registry, with the same end, or as Serve names it.
func (p *Protocol) names(q request, address string) bool {
	rel, ok := p.config.below(q, address)
	if !ok {
		u, err := url.Parse(address)
		return err == nil && (q.File == elsewhere(address) || strings.HasSuffix(u.Path, "/"+q.Name+"/-/"+q.File))
	}
	got, err := parsePath(rel)
	return err == nil && got == q
}

// Serve implements record.Protocol: documents name all tarballs below base.
func (p *Protocol) Serve(it record.Item, e lockfile.Entry, body io.Reader, base string) (io.Reader, string, error) {
	q, err := parsePath(strings.TrimSuffix(it.Key, shortMark))
	if err != nil || q.File != "" {
		return body, cmp.Or(e.MediaType, "application/octet-stream"), err
	}
	return jsonedit.Values(body, "tarball", func(address string) string {
		rel, ok := p.config.below(q, address)
		if u, err := url.Parse(address); !ok && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			return address
		}
		if !ok {
			rel = q.Name + "/-/" + elsewhere(address)
		}
		return strings.TrimRight(base, "/") + "/" + (&url.URL{Path: rel}).EscapedPath()
	}), e.MediaType, nil
}

// outside begins the names of tarballs that a registry keeps in a form of its own: on another host,
// with a query, or below another path. The rest stands for the address.
const outside = "outside-"

// elsewhere returns the name under which the tarball at address is served.
func elsewhere(address string) string {
	const digits = 32
	return outside + digest.Of([]byte(address)).Encoded()[:digits] + ".tgz"
}

// Locate implements record.Locator: a document of the package says where such a tarball is.
func (p *Protocol) Locate(ctx context.Context, it record.Item, have record.Lookup) (record.Item, error) {
	q, err := parsePath(strings.TrimSuffix(it.Key, shortMark))
	if err != nil || !strings.HasPrefix(q.File, outside) {
		return it, err
	}
	d, err := p.promise(ctx, q, nil, have)
	if err != nil {
		return it, err
	}
	if q.File != elsewhere(d.Tarball) {
		return it, nil // the registry's own file is called so
	}
	it.Upstream, it.Named, it.Header = d.Tarball, p.config.registry(q), http.Header{}
	if login := p.config.Logins.header(d.Tarball); login != "" {
		it.Header.Set("Authorization", login)
	}
	return it, nil
}
