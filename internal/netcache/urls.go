package netcache

import (
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"overland/internal/errs"
)

// NormalURL returns the one spelling of a URL that lists of prefixes are compared by: scheme and
// host in lower case, no default port, no user, no fragment, "." and ".." resolved, "//" as "/",
// needless escapes undone. What is not an absolute URL, such as a local path, is only cleaned.
func NormalURL(s string) string {
	s = strings.TrimSpace(s)
	u, err := url.Parse(s)
	if err == nil && u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && strings.HasPrefix(u.Path, "/") {
		u, s = &url.URL{}, u.Path // file:///srv/x is /srv/x
	}
	if err != nil || u.Scheme == "" || u.Host == "" {
		for strings.HasPrefix(s, "/") {
			c := strings.TrimSpace(clean(s)) // a space that ended a folder's name ends the path now
			if c == s {
				break
			}
			s = c
		}
		return s
	}
	host := strings.TrimRight(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	defaults := map[string]string{"http": "80", "https": "443", "ftp": "21", "ssh": "22", "git": "9418"}
	if port := strings.TrimLeft(u.Port(), "0"); port != "" && port != defaults[u.Scheme] {
		host += ":" + port
	}
	// Parsing undid the escapes; String puts back those that are needed.
	plain := url.URL{Scheme: strings.ToLower(u.Scheme), Host: host, Path: clean(u.Path), RawQuery: u.RawQuery}
	return plain.String()
}

func clean(p string) string {
	if p == "" {
		return "/"
	}
	c := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// Prefixes is a list of URL prefixes, as the blacklists of the configuration are.
type Prefixes []string

// Match returns the first prefix that s begins with, as it is written or after both are
// normalised. Like in the Python client a prefix may end within a word: "http://h/dev" is a
// prefix of "http://h/development".
func (list Prefixes) Match(s string) (prefix string, ok bool) {
	normal := NormalURL(s)
	for _, p := range list {
		if p == "" {
			continue
		}
		// A bare "http://host" gets its "/": http://host.evil is another host.
		if strings.HasPrefix(s, p) || strings.HasPrefix(normal, NormalURL(p)) {
			return p, true
		}
	}
	return "", false
}

// moving are the words by which people name what changes under an unchanged URL.
var moving = []string{
	"head", "latest", "master", "main", "trunk", "develop", "devel", "development", "nightly", "snapshot", "snapshots",
	"current", "tip", "default", "dev", "unstable", "edge", "rolling",
}

// Mutable reports, with the reason, whether a URL names what may have other content tomorrow: a
// branch head, HEAD, "latest". A name of a version, a tag or a commit is what it is. It only looks
// at the words in the URL, so it can miss a branch with a name of its own.
func Mutable(s string) (reason string, yes bool) {
	u, err := url.Parse(NormalURL(s))
	if err != nil {
		return "", false
	}
	words := strings.FieldsFunc(u.Path, func(r rune) bool { return strings.ContainsRune("/:@", r) }) // gitweb: blob_plain/HEAD:/x
	if strings.Contains(u.Path, "/refs/heads/") {
		return "a branch: refs/heads", true
	}
	// What a query says decides over the path: /archive?ref=v1.0.
	query, _ := url.ParseQuery(strings.ReplaceAll(u.RawQuery, ";", "&")) // gitweb: ?p=x;hb=HEAD
	for _, name := range []string{"ref", "h", "hb", "branch", "tag", "id", "sha", "rev", "revision", "version"} {
		for _, v := range query[name] {
			if name == "branch" && !pinned(v) {
				return "a branch: " + v, true
			}
			words = append(words, v)
		}
	}
	for _, word := range words {
		w := strings.ToLower(word)
		for _, ending := range []string{".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".zip", ".tar", ".git"} {
			w = strings.TrimSuffix(w, ending)
		}
		if slices.Contains(moving, w) {
			return word, true
		}
		for _, m := range []string{"latest", "head", "master", "main", "nightly", "snapshot", "trunk"} {
			for _, sep := range []string{"-", "_", "."} {
				if strings.HasSuffix(w, sep+m) || strings.Contains(w, sep+m+sep) || strings.HasPrefix(w, m+sep) {
					return word, true
				}
			}
		}
	}
	return "", false
}

// pinned reports whether s looks like a commit: 40 or 64 hex digits.
func pinned(s string) bool {
	const sha1Digits, sha256Digits = 40, 64
	return (len(s) == sha1Digits || len(s) == sha256Digits) && strings.Trim(strings.ToLower(s), "0123456789abcdef") == ""
}

// CheckFrozen returns an error (errs.Denied) when url is mutable: stored once, everybody
// would get today's content for ever.
func CheckFrozen(url string) error {
	if word, yes := Mutable(url); yes {
		return errs.Errorf(errs.Denied, "%s changes under the same name (%q): it would be frozen as it is today", url, word)
	}
	return nil
}

// version matches what people name a version, a tag or a day by: 1.0, v2, 20260301.
var version = regexp.MustCompile(`(^|[^0-9.])([0-9]+(\.[0-9]+)+|20[0-9]{6})([^0-9]|$)|^v[0-9]+$`)

// commitLike matches a short or whole name of a commit.
var commitLike = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// CheckPinned returns an error (errs.Denied) when url changes under the same name, or names neither
// a version, a tag nor a commit: a branch may have any name.
func CheckPinned(s string) error {
	if err := CheckFrozen(s); err != nil {
		return err
	}
	u, err := url.Parse(NormalURL(s))
	if err != nil {
		return errs.E(errs.Invalid, err)
	}
	words := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' || r == '@' })
	for _, list := range u.Query() {
		words = append(words, list...)
	}
	for _, w := range words {
		commit := commitLike.MatchString(w) && strings.ContainsAny(w, "0123456789")
		if commit || version.MatchString(w) {
			return nil
		}
	}
	if strings.Contains(u.Path, "/refs/tags/") {
		return nil
	}
	return errs.Errorf(errs.Denied, "%s names no version, tag or commit: it would be frozen as it is today", s)
}

// SourceURL returns where a git repository is, as lists of prefixes see it: a normal URL, also of
// git's short form host:path, or a clean path.
func SourceURL(s string) string {
	s = strings.TrimSpace(s)
	if host, rest, ok := strings.Cut(s, ":"); ok && !strings.Contains(host, "/") && !strings.HasPrefix(rest, "//") {
		s = "ssh://" + host + "/" + strings.TrimPrefix(rest, "/")
	}
	return strings.TrimSuffix(NormalURL(s), "/")
}
