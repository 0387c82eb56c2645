package oci

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
)

// Name is the protocol's name.
const Name = "oci"

// Kinds of proof.
const (
	ProofDigest   = "oci-digest"   // the bytes are those that the request named
	ProofManifest = "oci-manifest" // of a tag: its registry says so, over TLS
	ProofList     = "oci-list"     // of tags or referrers: its registry says so, over TLS
)

// Registry is one that is mirrored.
type Registry struct {
	Name string // as images are called after it: "hub.example", "hub.example:5000"
	URL  string // where it is; "" = https://NAME
	// Login returns the login with which it is asked, or ok = there is none; nil = there is none. It is called when a
	// login is needed, so that one that is changed counts at once.
	Login func() (l Login, ok bool, err error)
}

// Protocol is safe for concurrent use.
type Protocol struct {
	at     map[string]string // the address of each registry, without a slash at the end
	passes passes
}

var (
	_ record.Protocol = (*Protocol)(nil)
	_ record.Locator  = (*Protocol)(nil)
)

// New returns the protocol for these registries, which asks with client. Errors: Invalid for one that has no such
// name or address.
func New(client *origin.Client, registries ...Registry) (*Protocol, error) {
	p := &Protocol{at: map[string]string{}, passes: passes{client: client, logins: map[string]func() (Login, bool, error){}}}
	for _, r := range registries {
		if !hostForm.MatchString(r.Name) {
			return nil, errs.Errorf(errs.Invalid, "a registry called %.100q: write it like hub.example or hub.example:5000", r.Name)
		}
		if r.URL == "" {
			r.URL = "https://" + r.Name
		}
		u, err := url.Parse(r.URL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, errs.Errorf(errs.Invalid, "the address of the registry %s: write it like https://hub.example", r.Name)
		}
		if r.Login != nil && u.Scheme != "https" && !loopback(u.Hostname()) {
			return nil, errs.Errorf(errs.Invalid, "the registry %s: a login is sent over TLS alone, not to %s", r.Name, r.URL)
		}
		p.at[r.Name] = strings.TrimRight(r.URL, "/")
		p.passes.logins[r.Name] = r.Login
	}
	return p, nil
}

var (
	hostForm = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?$`)
	nameForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

const (
	nameLimit = 255     // bytes
	blobLimit = 1 << 40 // bytes
)

// Mirrors reports whether the registry called name is one of p's.
func (p *Protocol) Mirrors(name string) bool { return p.at[name] != "" }

// Name implements record.Protocol.
func (p *Protocol) Name() string { return Name }

// Manifest returns the Item of the manifest that ref, a tag or a digest, names in a repository of the registry from.
func (p *Protocol) Manifest(from, name, ref string) (record.Item, error) {
	return p.ItemOf(from + "/" + name + "/manifests/" + ref)
}

// Blob returns the Item of the blob d in a repository of the registry from.
func (p *Protocol) Blob(from, name, d string) (record.Item, error) {
	return p.ItemOf(from + "/" + name + "/blobs/" + d)
}

// TagsPage is how many tags are asked for at once.
const TagsPage = 1000

// Tags returns the Item of a page of the tags in a repository of the registry from: those behind the tag last.
func (p *Protocol) Tags(from, name, last string) (record.Item, error) {
	key := from + "/" + name + "/" + tagsList
	if last != "" {
		key += afterTag + last
	}
	return p.ItemOf(key)
}

// Referrers returns the Item of the index of what is about d in a repository of the registry from.
func (p *Protocol) Referrers(from, name, d string) (record.Item, error) {
	return p.ItemOf(from + "/" + name + "/referrers/" + d)
}

const (
	tagsList = "tags/list"
	afterTag = "?last="
)

// Item implements record.Protocol.
func (p *Protocol) Item(r *http.Request) (record.Item, error) {
	return p.ItemOf(strings.TrimPrefix(r.URL.Path, "/"))
}

// request is what a key asks for.
type request struct{ from, name, noun, ref string }

func parse(key string) (q request, ok bool) {
	from, rest, _ := strings.Cut(key, "/")
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return q, false
	}
	q.ref, rest = rest[i+1:], rest[:i]
	if i = strings.LastIndexByte(rest, '/'); i < 0 {
		return q, false
	}
	q.from, q.noun, q.name = from, rest[i+1:], rest[:i]
	if len(q.name) > nameLimit || !nameForm.MatchString(q.name) {
		return q, false
	}
	switch q.noun {
	case "blobs", "referrers":
		return q, q.hash() != nil
	case "tags":
		list, last, more := strings.Cut(q.ref, afterTag)
		return q, list == "list" && more == tagForm.MatchString(last)
	case "manifests":
		return q, q.hash() != nil || tagForm.MatchString(q.ref)
	}
	return q, false
}

// hash returns what the digest of q is made with; nil when q names a tag, or nothing.
func (q request) hash() hash.Hash {
	algorithm, text, _ := strings.Cut(q.ref, ":")
	h := hash.Hash(digest.New())
	switch algorithm {
	case "sha256":
	case "sha512":
		h = sha512.New()
	default:
		return nil
	}
	if len(text) != hex.EncodedLen(h.Size()) || strings.Trim(text, "0123456789abcdef") != "" {
		return nil
	}
	return h
}

// ItemOf implements record.Protocol.
func (p *Protocol) ItemOf(key string) (record.Item, error) {
	q, ok := parse(key)
	if !ok {
		return record.Item{}, errs.Errorf(errs.Invalid, "oci: %.300q is neither a manifest nor a blob", key)
	}
	at := p.at[q.from]
	if at == "" {
		return record.Item{}, errs.Errorf(errs.NotFound, "the registry %.100q is not mirrored here", q.from)
	}
	it := record.Item{
		Protocol: Name, Key: key, Upstream: fmt.Sprintf("%s/v2/%s/%s/%s", at, q.name, q.noun, q.ref), Limit: blobLimit, HTML: true, Header: http.Header{},
	}
	if q.noun == "blobs" {
		return it, nil
	}
	it.Limit, it.HTML = store.ManifestLimit, false
	it.Mutable = q.noun != "manifests" || q.hash() == nil
	it.AtOnce = it.Mutable
	it.Header["Accept"] = []string{strings.Join(manifests, ", ")}
	if q.noun == "tags" {
		_, last, more := strings.Cut(it.Upstream, afterTag)
		it.Upstream = fmt.Sprintf("%s/v2/%s/%s?n=%d", at, q.name, tagsList, TagsPage)
		if more {
			it.Upstream += "&last=" + last
		}
		it.Header["Accept"] = []string{"application/json"}
	}
	return it, nil
}

// manifests are the media types that a client of today takes one or other of.
var manifests = []string{
	ocispec.MediaTypeImageIndex, "application/vnd.docker.distribution.manifest.list.v2+json",
	ocispec.MediaTypeImageManifest, "application/vnd.docker.distribution.manifest.v2+json",
}

// Locate implements record.Locator: the request gets the pass that its registry wants of everybody.
func (p *Protocol) Locate(ctx context.Context, it record.Item, _ record.Lookup) (record.Item, error) {
	q, ok := parse(it.Key)
	if !ok {
		return it, errs.Errorf(errs.Invalid, "oci: %.300q", it.Key)
	}
	pass, err := p.passes.get(ctx, q.from, p.at[q.from], q.name)
	if err == nil && pass != "" {
		it.Header = it.Header.Clone()
		it.Header.Set("Authorization", pass)
	}
	return it, err
}

// Check implements record.Protocol.
func (p *Protocol) Check(_ context.Context, it record.Item, body io.ReadSeeker, _ record.Lookup) (lockfile.Proof, error) {
	q, ok := parse(it.Key)
	if !ok {
		return lockfile.Proof{}, errs.Errorf(errs.Invalid, "oci: %.300q", it.Key)
	}
	if h := q.hash(); h != nil && q.noun != "referrers" {
		if _, err := io.Copy(h, body); err != nil {
			return lockfile.Proof{}, err
		}
		algorithm, want, _ := strings.Cut(q.ref, ":")
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "its bytes are %s:%s: %w", algorithm, got, digest.ErrMismatch)
		}
		return lockfile.Proof{Kind: ProofDigest, Value: q.ref}, nil
	}
	b, err := fsx.Read(body, "manifest", store.ManifestLimit)
	if err != nil {
		return lockfile.Proof{}, err
	}
	if q.noun == "tags" || q.noun == "referrers" {
		if !isList(q.noun, b) {
			return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "it is not a list of %s", q.noun)
		}
		return lockfile.Proof{Kind: ProofList, Value: string(digest.Of(b))}, nil
	}
	if MediaType(b, "") == "" {
		return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "it is not a manifest")
	}
	return lockfile.Proof{Kind: ProofManifest, Value: string(digest.Of(b))}, nil
}

func isList(noun string, b []byte) bool {
	if noun == "referrers" {
		return MediaType(b, "") == ocispec.MediaTypeImageIndex
	}
	_, err := ReadTags(b)
	return err == nil
}

// ReadTags returns the tags in b, the answer to Tags, sorted, without those that no client could ask for.
func ReadTags(b []byte) ([]string, error) {
	var list struct {
		Name *string  `json:"name"`
		Tags []string `json:"tags"`
	}
	if store.CheckDocument(b) != nil || json.Unmarshal(b, &list) != nil || list.Name == nil {
		return nil, errs.Errorf(errs.Untrusted, "it is not a list of tags")
	}
	slices.Sort(list.Tags)
	return slices.DeleteFunc(slices.Compact(list.Tags), func(t string) bool { return !tagForm.MatchString(t) }), nil
}

// MediaType returns the media type of the manifest b: as it says itself, else said, which its registry called it, else
// what it looks like. "" = it is not a manifest that a client of today takes.
func MediaType(b []byte, said string) string {
	var m struct {
		Schema    int               `json:"schemaVersion"`
		MediaType string            `json:"mediaType"`
		Config    json.RawMessage   `json:"config"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if store.CheckDocument(b) != nil || json.Unmarshal(b, &m) != nil || m.Schema != 2 { // 2 is the version
		return ""
	}
	said, _, _ = strings.Cut(said, ";")
	for _, t := range []string{m.MediaType, strings.TrimSpace(said)} {
		if store.HasChildren(t) {
			return t
		}
	}
	switch {
	case m.MediaType != "":
		return ""
	case m.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case m.Config != nil:
		return ocispec.MediaTypeImageManifest
	}
	return ""
}

// Serve implements record.Protocol.
func (p *Protocol) Serve(_ record.Item, _ lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	return body, "application/octet-stream", nil
}
