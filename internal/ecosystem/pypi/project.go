package pypi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"golang.org/x/net/html"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
)

// Limits of what an index says of one project.
const (
	projectLimit = 64 << 20 // bytes; the largest ones have about 20 MB
	tokenLimit   = 1 << 20  // bytes of one tag, comment or text in HTML
)

// project is what is read of what an index says of one.
type project struct {
	base  string // of relative addresses, as the page itself says; "" = where it came from
	files map[string]file
}

// file is an archive of a project.
type file struct {
	address  string // as it is written, without a fragment
	hashes   promise
	metadata promise
	hasMeta  bool // its metadata is beside it
}

// readProject reads r, the index's JSON or HTML about the project called name:
// errs.Untrusted when it is not that.
func readProject(r io.Reader, name string) (*project, error) {
	buf := bufio.NewReader(fsx.Limit(r, projectLimit))
	p := &project{files: map[string]file{}}
	read := p.readHTML
	if isJSON(buf) {
		read = p.readJSON
	}
	if err := read(buf, name); err != nil {
		return nil, errs.E(errs.Untrusted, fmt.Errorf("index of %s: %w", name, err))
	}
	return p, nil
}

// isJSON reports whether r begins as a JSON object does; it leaves r as it is.
func isJSON(r *bufio.Reader) bool {
	const head = 512
	b, _ := r.Peek(head)
	return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{"))
}

// document is what is read of PEP 691's JSON.
type document struct {
	Meta struct {
		Version string `json:"api-version"`
	} `json:"meta"`
	Name  string `json:"name"`
	Files []struct {
		URL    string            `json:"url"`
		Hashes map[string]string `json:"hashes"`
		Core   json.RawMessage   `json:"core-metadata"`
		Dist   json.RawMessage   `json:"dist-info-metadata"` // what it was called before PEP 714
	} `json:"files"`
}

func (p *project) readJSON(r io.Reader, name string) error {
	var d document
	in := json.NewDecoder(r)
	if err := in.Decode(&d); err != nil {
		return err
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	if err := checkVersion(d.Meta.Version); err != nil {
		return err
	}
	if normalize(d.Name) != name {
		return fmt.Errorf("it is of %.200q", d.Name)
	}
	for _, f := range d.Files {
		meta := f.Core
		if meta == nil {
			meta = f.Dist
		}
		hashes, has, err := parseMetadata(meta)
		if err != nil {
			return err
		}
		if err := p.add(f.URL, f.Hashes, hashes, has); err != nil {
			return err
		}
	}
	return nil
}

// parseMetadata reads "core-metadata": whether there is some, or its hashes.
func parseMetadata(b json.RawMessage) (promise, bool, error) {
	var has bool
	if b == nil || json.Unmarshal(b, &has) == nil {
		return nil, has, nil
	}
	var hashes promise
	if err := json.Unmarshal(b, &hashes); err != nil {
		return nil, false, fmt.Errorf("core-metadata %.200q", string(b))
	}
	return hashes, true, nil
}

// readHTML reads PEP 503's page. A page with neither a file of the project nor a version of the
// protocol is refused: a captive portal has links, too.
func (p *project) readHTML(r io.Reader, name string) error {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(tokenLimit)
	versioned, own := false, false
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				return err
			}
			if !versioned && !own {
				return errors.New("the page names no file of it, and is not an index: a captive portal, or a login page?")
			}
			return nil
		case html.StartTagToken, html.SelfClosingTagToken:
		default:
			continue
		}
		tag, a := attributes(z)
		switch {
		case tag == "base" && p.base == "":
			p.base = a["href"]
		case tag == "meta" && a["name"] == "pypi:repository-version":
			if err := checkVersion(a["content"]); err != nil {
				return err
			}
			versioned = true
		case tag == "a":
			address, fragment, _ := strings.Cut(a["href"], "#")
			meta, has := a["data-core-metadata"]
			if !has {
				meta, has = a["data-dist-info-metadata"]
			}
			own = own || strings.HasPrefix(normalize(fileOf(address)), name+"-")
			if err := p.add(address, parseFragment(fragment), parseFragment(meta), has && meta != "false"); err != nil {
				return err
			}
		}
	}
}

// attributes returns the name of z's tag and its attributes; of one that is there
// twice, the first, as pip reads it.
func attributes(z *html.Tokenizer) (string, map[string]string) {
	name, more := z.TagName()
	tag, list := string(name), map[string]string{}
	for more {
		var k, v []byte
		k, v, more = z.TagAttr()
		if _, ok := list[string(k)]; !ok {
			list[string(k)] = string(v)
		}
	}
	return tag, list
}

// checkVersion refuses a protocol that this package does not read.
func checkVersion(s string) error {
	if major, _, _ := strings.Cut(s, "."); major != "1" {
		return fmt.Errorf("version %.200q of the index protocol is not known", s)
	}
	return nil
}

// parseFragment reads "sha256=HEX" among what stands after the # of an address.
func parseFragment(s string) promise {
	p := promise{}
	for part := range strings.SplitSeq(s, "&") {
		if k, v, ok := strings.Cut(part, "="); ok {
			p[k] = v
		}
	}
	return p
}

// add adds the archive at address; a link that is not to an archive is passed over. The same
// name twice must be the same bytes.
func (p *project) add(address string, hashes, metadata promise, has bool) error {
	address, _, _ = strings.Cut(address, "#")
	name := fileOf(address)
	if name == "" {
		return nil
	}
	f := file{address, hashes, metadata, has}
	if old, ok := p.files[name]; ok {
		if !old.hashes.same(hashes) {
			return fmt.Errorf("%s is there twice, with different hashes", name)
		}
		return nil
	}
	p.files[name] = f
	return nil
}

// resolve returns the absolute address of f, whose page came from at. From https it never leads to
// http, unless the page has a hash of the file.
func (p *project) resolve(f file, at string) (*url.URL, error) {
	from, err := url.Parse(at)
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	page := from
	if p.base != "" {
		if page, err = from.Parse(p.base); err != nil {
			return nil, errs.E(errs.Untrusted, err)
		}
	}
	u, err := page.Parse(f.address)
	if err != nil {
		return nil, errs.E(errs.Untrusted, err)
	}
	u.Fragment = ""
	switch {
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errs.Errorf(errs.Untrusted, "the index names an address that is neither http nor https: %.200q", httpx.RedactedURL(u))
	case from.Scheme == "https" && u.Scheme != "https" && f.hashes.strongest() == "":
		return nil, errs.Errorf(errs.Untrusted, "the index leads from https to http, without a hash: %.200q", httpx.RedactedURL(u))
	}
	return u, nil
}
