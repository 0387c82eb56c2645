package lockfile

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/httpx"
)

// Entry is one line of a lock: an answer that a build relied on.
type Entry struct {
	Protocol  string        // "go", "npm", "apt", …: lower-case letters, digits and "-"
	Key       string        // the request, in the protocol's own form; at most KeyLimit bytes
	Asked     Fields        // what else of the request the answer depends on: see record.Item.Whole
	Status    int           // of the answer: 200 to 599
	Blob      digest.Digest // the original bytes; "" = an IsFact without a body
	Size      int64         // of Blob, in bytes
	MediaType string
	Header    Fields // of the answer, as far as it is replayed
	Proof     Proof
	Mutable   bool // the origin may answer differently tomorrow

	// Since is when a cache first saw this content: clients that ask by date compare with it. The
	// zero time means unknown. It is not written to a lock.
	Since time.Time
}

// Exists reports whether e stands for bytes, if only those of an error, and not for the fact that
// there are none.
func (e Entry) Exists() bool { return e.Status == http.StatusOK || e.Blob != "" }

// Failed reports whether e is an origin's refusal or failure, which may have passed meanwhile.
func (e Entry) Failed() bool { return e.Status >= http.StatusBadRequest }

// Lasting reports whether e never changes and has more than its origin's word for
// it: it need not be fetched again.
func (e Entry) Lasting() bool {
	return e.Status == http.StatusOK && !e.Mutable && e.Proof != (Proof{})
}

// Proof says why the bytes of an entry are the right ones, in the words of their ecosystem. The
// zero value is no proof but the digest of the first fetch.
type Proof struct {
	Kind  string `json:"kind"`  // "go.sum", "sumdb", "npm-integrity", "apt-openpgp", "sha256", …
	Value string `json:"value"` // "h1:…", "sha512-…", a fingerprint
}

// String returns p as a person reads it.
func (p Proof) String() string {
	if p == (Proof{}) {
		return "none"
	}
	return p.Kind + " " + p.Value
}

// IsFact reports whether an origin's answer with that status has no content and is worth
// locking all the same: there is no such thing, or none for us. 401 is not one: the
// client will log in and ask again.
func IsFact(status int) bool {
	return status == http.StatusNotFound || status == http.StatusGone || status == http.StatusForbidden
}

// check returns what is wrong with e as a line of a lock.
func (e Entry) check() error {
	switch {
	case e.Protocol == "" || strings.Trim(e.Protocol, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return fmt.Errorf("protocol %q", e.Protocol)
	case e.Key == "" || len(e.Key) > KeyLimit || strings.ContainsFunc(e.Key, isControl):
		return fmt.Errorf("key %q", e.Key[:min(len(e.Key), 100)])
	}
	if key, secret := masked(e.Key); secret {
		return errs.Hint(errs.Errorf(errs.Invalid, "a key holds a secret: %.100s", key),
			"remove the line, record again, and replace the secret where it is valid")
	}
	if err := errors.Join(e.Asked.check("asked"), e.Header.check("header")); err != nil {
		return fmt.Errorf("%.100s: %w", e.Key, err)
	}
	if _, found := e.Header.Masked(); found {
		return errs.Hint(errs.Errorf(errs.Invalid, "%.100s: a header field holds a secret", e.Key),
			"remove the line, record again, and replace the secret where it is valid")
	}
	switch {
	case IsFact(e.Status) && e.Blob == "":
		if e.Size != 0 {
			return fmt.Errorf("%s: status %d without a blob has no size", e.Key, e.Status)
		}
		return nil
	case e.Status < http.StatusOK || e.Status > lastStatus || e.Status == http.StatusNotModified:
		return fmt.Errorf("%s: status %d", e.Key, e.Status)
	case e.Size < 0:
		return fmt.Errorf("%s: size %d", e.Key, e.Size)
	}
	_, err := digest.Parse(string(e.Blob))
	return err
}

const lastStatus = 599

// Masked returns f without the secrets in the addresses that it names, and whether there are any.
func (f Fields) Masked() (Fields, bool) {
	lines := f.Lines()
	for i, line := range lines {
		lines[i] = httpx.RedactedText(line)
		if name := nameOf(line); name == "location" || name == "content-location" { // may be relative
			before, query, ok := strings.Cut(lines[i], "?")
			if query, found := httpx.MaskQuery(query); ok && found != "" {
				lines[i] = before + "?" + query
			}
		}
	}
	clean := NewFields(lines)
	return clean, clean != f
}

// masked returns key, which may be a URL or "POST URL DIGEST", without the secrets in it, and
// whether there are any.
func masked(key string) (string, bool) {
	before, query, _ := strings.Cut(key, "?")
	query, after, _ := strings.Cut(query, " ")
	query, found := httpx.MaskQuery(query)
	if found == "" {
		return key, false
	}
	return strings.TrimSpace(before + "?" + query + " " + after), true
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// compare orders entries as a lock does: by protocol, key and what was asked, all bytewise.
func compare(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Asked, b.Asked))
}
