package netcache

import (
	"crypto/md5" // the protocol's keys are md5 sums of URLs; nothing is trusted by them
	"encoding/hex"
	"strings"

	"overland/internal/errs"
)

// Bound says what an entry's metadata says about the key that it stands under.
type Bound int

// The answers of Binding.
const (
	Unbound  Bound = iota // nothing: the same entry could stand under any key of that kind
	Matches               // it belongs there
	Mismatch              // it belongs to another key
)

// MD5 returns the lower-case hex md5 of s: how the protocol makes keys of URLs.
func MD5(s string) string {
	sum := md5.Sum([]byte(s)) // as above
	return hex.EncodeToString(sum[:])
}

// URLKey returns the key under which the download cache keeps what url had.
func URLKey(url string) string { return urlPrefix + MD5(url) }

const urlPrefix = "file-urlmd5:"

// Binding compares what e says of itself with the key that it stands under: the key of its
// statement, the md5 of its url or software_url, urlmd5, or the basename of a pypi: key. The
// signature of old clients does not cover the key, so this is all that keeps a signed entry from
// being served under another one.
func Binding(key string, e Entry) Bound {
	if s, ok := e.Fields[statementField].(map[string]any); ok {
		if bound, _ := s["key"].(string); bound != key {
			return Mismatch
		}
		// Old clients do not read the statement: what they read must not say otherwise.
		return max(Matches, hint(key, e))
	}
	return hint(key, e)
}

// hint is Binding by what old clients put into metadata.
func hint(key string, e Entry) Bound {
	if rest, ok := strings.CutPrefix(key, "pypi:"); ok {
		return basename(rest, e.Text("basename"))
	}
	sum, fields := key, []string{"software_url"}
	for _, prefix := range []string{urlPrefix, "slapos-buildout-", "pypi-buildout-"} {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			sum, fields = rest, []string{"url"}
		}
	}
	const length = 32
	if len(sum) != length || strings.Trim(sum, "0123456789abcdef") != "" {
		return Unbound
	}
	got := Unbound
	for _, name := range fields {
		if s := e.Text(name); s != "" {
			if MD5(s) != sum {
				return Mismatch
			}
			got = Matches
		}
	}
	if s := e.Text("urlmd5"); s != "" && len(fields) == 1 && fields[0] == "url" {
		if s != sum {
			return Mismatch
		}
		got = Matches
	}
	return got
}

// basename compares an egg's file name with "NAME=VERSION".
func basename(want, file string) Bound {
	if file == "" {
		return Unbound
	}
	plain := func(s string) string {
		return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(s))
	}
	name, version, ok := strings.Cut(want, "=")
	rest, same := strings.CutPrefix(plain(file), plain(name)+"-"+plain(version))
	// The version ends there: 1.2 is not a prefix of 1.25.
	if !ok || !same || (rest != "" && rest[0] != '-') {
		return Mismatch
	}
	return Matches
}

// CheckBinding returns an error (errs.Untrusted) when e belongs to another key, and, unless unbound
// entries are allowed, when it belongs to none.
func CheckBinding(key string, e Entry, unbound bool) error {
	switch Binding(key, e) {
	case Mismatch:
		return errs.Errorf(errs.Untrusted, "the entry belongs to another key than %q", key)
	case Unbound:
		if !unbound {
			return errs.Errorf(errs.Untrusted, "the entry does not say that it belongs to key %q", key)
		}
	}
	return nil
}

// Platform returns, in one spelling, what the metadata of e say of the platform that its
// blob is for; "{}" for nothing.
func Platform(e Entry) string {
	about := map[string]any{}
	for _, name := range []string{"multiarch", "machine", "os", "arch", "goarm", "libc", "libc_min", "march"} {
		if v, ok := e.Fields[name]; ok {
			about[name] = v
		}
	}
	return string(canonical(nil, about))
}
