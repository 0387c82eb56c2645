package pypi

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"overland/internal/ecosystem/jsonedit"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// Name is the protocol's name in locks.
const Name = "pypi"

// Kinds of proof.
const (
	ProofFile  = "pypi-sha256" // of a file or its metadata: the hash that the index has; also pypi-sha384 and pypi-sha512
	ProofIndex = "pypi-index"  // of a project: an index does not sign; the lock pins it
)

const (
	archiveLimit  = 4 << 30  // bytes of a file
	metadataLimit = 16 << 20 // bytes of a file's metadata

	mediaJSON = "application/vnd.pypi.simple.v1+json"
	mediaHTML = "application/vnd.pypi.simple.v1+html"
)

// Protocol is record's protocol for Python package indexes. It is safe for concurrent use.
type Protocol struct {
	// getter, which serves this protocol, fetches the project of a file if the project is not held;
	// nil = such a file is refused.
	getter record.Getter
	config func(context.Context) (Config, error)
}

var (
	_ record.Protocol = (*Protocol)(nil)
	_ record.Locator  = (*Protocol)(nil)
)

// New returns the protocol for the index of c. getter serves it.
func New(c Config, getter record.Getter) (*Protocol, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Protocol{getter: getter, config: func(context.Context) (Config, error) { return c, nil }}, nil
}

// Name implements record.Protocol.
func (p *Protocol) Name() string { return Name }

// Item implements record.Protocol.
func (p *Protocol) Item(r *http.Request) (record.Item, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return record.Item{}, errs.Errorf(errs.Invalid, "pypi: %s %.200q is not recorded", r.Method, r.URL.Path)
	}
	q, err := parsePath(r.URL.Path)
	if err != nil {
		return record.Item{}, err
	}
	q.HTML = q.File == "" && !strings.Contains(strings.Join(r.Header.Values("Accept"), ","), mediaJSON)
	return item(q), nil
}

// ItemOf implements record.Protocol.
func (p *Protocol) ItemOf(key string) (record.Item, error) {
	q, err := parseKey(key)
	if err != nil {
		return record.Item{}, err
	}
	return item(q), nil
}

// item returns the Item of q, but for its address.
func item(q request) record.Item {
	it := record.Item{Protocol: Name, Key: q.key(), Header: http.Header{}}
	switch {
	case q.Metadata:
		it.Limit = metadataLimit
	case q.File != "":
		it.Limit = archiveLimit
	default:
		it.Limit, it.Mutable, it.HTML = projectLimit, true, true
		it.Header.Set("Accept", mediaHTML+", text/html; q=0.5")
		if !q.HTML {
			it.Header.Set("Accept", mediaJSON+", "+mediaHTML+"; q=0.2, text/html; q=0.1")
		}
	}
	return it
}

// Locate implements record.Locator: the index says where files are.
func (p *Protocol) Locate(ctx context.Context, it record.Item, have record.Lookup) (record.Item, error) {
	q, err := parseKey(it.Key)
	if err != nil {
		return it, err
	}
	c, err := p.config(ctx)
	if err != nil {
		return it, err
	}
	at := c.page(q.Project)
	u := at
	if q.File != "" {
		project, f, err := p.find(ctx, q, have)
		if err != nil {
			return it, err
		}
		if u, err = project.resolve(f, at.String()); err != nil {
			return it, err
		}
		it.Named = at.String()
		if q.Metadata {
			u.Path += metadataMark
			if u.RawPath != "" {
				u.RawPath += metadataMark // escaped as the address of the file is
			}
		}
	}
	return c.ask(it, u), nil
}

// Check implements record.Protocol.
func (p *Protocol) Check(ctx context.Context, it record.Item, body io.ReadSeeker, have record.Lookup) (lockfile.Proof, error) {
	q, err := parseKey(it.Key)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if q.File == "" {
		_, err := readProject(body, q.Project)
		return lockfile.Proof{Kind: ProofIndex, Value: q.Project}, err
	}
	_, f, err := p.find(ctx, q, have)
	switch {
	case err != nil:
		return lockfile.Proof{}, err
	case q.Metadata:
		return f.metadata.prove(body)
	}
	return f.hashes.prove(body)
}

// find returns the file that q asks for, from what the session has of its project, else from the
// index. One that the index does not name is errs.NotFound.
func (p *Protocol) find(ctx context.Context, q request, have record.Lookup) (*project, file, error) {
	none := errs.Errorf(errs.NotFound, "the index of %s names no %s", q.Project, strings.TrimPrefix(q.key(), q.Project+"/"))
	for _, html := range []bool{false, true} {
		r, err := have(ctx, request{Project: q.Project, HTML: html}.key())
		if errs.KindOf(err) == errs.NotFound {
			continue
		}
		if err != nil {
			return nil, file{}, err
		}
		project, f, ok, err := findIn(r, q)
		if ok || err != nil {
			return project, f, err
		}
	}
	if p.getter == nil {
		return nil, file{}, none
	}
	_, blob, err := p.getter.Get(ctx, p, item(request{Project: q.Project}))
	if err != nil {
		return nil, file{}, fmt.Errorf("what the index says of %s: %w", q.Project, err)
	}
	if blob == nil {
		return nil, file{}, none
	}
	project, f, ok, err := findIn(blob, q)
	if err == nil && !ok {
		err = none
	}
	return project, f, err
}

// findIn reads the project in r, which it closes, and returns what q asks for, when it is there.
func findIn(r io.ReadCloser, q request) (*project, file, bool, error) {
	defer r.Close()
	project, err := readProject(r, q.Project)
	if err != nil {
		return nil, file{}, false, err
	}
	f, ok := project.files[q.File]
	return project, f, ok && (f.hasMeta || !q.Metadata), nil
}

// Serve implements record.Protocol: projects name their archives below base.
func (p *Protocol) Serve(it record.Item, e lockfile.Entry, body io.Reader, base string) (io.Reader, string, error) {
	q, err := parseKey(it.Key)
	if err != nil || q.File != "" {
		return body, cmp.Or(e.MediaType, "application/octet-stream"), err
	}
	to := func(address string) string {
		name := fileOf(address)
		if name == "" {
			return address
		}
		_, fragment, hashed := strings.Cut(address, "#")
		address = strings.TrimRight(base, "/") + "/files/" + q.Project + "/" + url.PathEscape(name)
		if hashed {
			address += "#" + fragment
		}
		return address
	}
	buf := bufio.NewReader(body)
	if isJSON(buf) {
		return jsonedit.Values(buf, "url", to), mediaJSON, nil
	}
	return links(buf, to), "text/html; charset=utf-8", nil
}
