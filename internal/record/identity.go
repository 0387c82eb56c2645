package record

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"overland/internal/digest"
	"overland/internal/lockfile"
)

// A lock tells people apart and names none. What a person sends (a login, a token, a cookie of
// theirs) becomes a mark with a salt and a digest that is slow to compute. What an origin hands out
// becomes a mark that says nothing of it; in a replay the client gets the mark, and sends it back.

// Of the digest in a mark.
const (
	rounds     = 200_000 // of PBKDF2 with SHA-256: some 50 ms
	saltBytes  = 4
	digestSize = 8
)

// identities are the marks of one recording. It is safe for concurrent use; the zero value works.
type identities struct {
	mu    sync.Mutex
	salt  string
	marks map[string]string // by secret
	taken map[string]string // secrets by mark, of those handed out by origins
}

// of returns the mark of a secret that a client sent.
func (i *identities) of(secret string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if lockfile.IsMark(secret) {
		return secret
	}
	i.open()
	if i.marks[secret] == "" {
		i.marks[secret] = mark(i.salt, secret)
	}
	return i.marks[secret]
}

// handed returns the mark of a secret that an origin handed out as name, in the answer to key.
func (i *identities) handed(key, name, secret string) string {
	if secret == "" || lockfile.IsMark(secret) {
		return secret
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.open()
	if i.marks[secret] != "" {
		return i.marks[secret]
	}
	first := lockfile.MarkPrefix + digest.Of([]byte(key + "\n" + name)).Encoded()[:2*digestSize]
	m := first
	for n := 2; i.taken[m] != ""; n++ {
		m = first + "-" + strconv.Itoa(n)
	}
	i.taken[m], i.marks[secret] = secret, m
	return m
}

// open readies i. The caller holds i.mu.
func (i *identities) open() {
	if i.marks == nil {
		salt := make([]byte, saltBytes)
		_, _ = rand.Read(salt) // it never fails
		i.salt, i.marks, i.taken = hex.EncodeToString(salt), map[string]string{}, map[string]string{}
	}
}

// cookies returns what a lock holds of the Cookie v.
func (i *identities) cookies(v string) string {
	list := pairs(v)
	for n, pair := range list {
		name, value, _ := strings.Cut(pair, "=")
		list[n] = name + "="
		if value != "" {
			list[n] += i.of(value)
		}
	}
	return strings.Join(list, "; ")
}

// setCookie returns what a lock holds of the Set-Cookie v, in the answer to key. Cookies last as long
// as a replay: a date would end them one day.
func (i *identities) setCookie(key, v string) string {
	parts := strings.Split(v, ";")
	name, value, named := strings.Cut(parts[0], "=")
	name = strings.TrimSpace(name)
	out := []string{name + "=" + i.handed(key, name, strings.TrimSpace(value))}
	if !named {
		out = []string{i.handed(key, "", name)} // some clients take it for a value
	}
	c, err := http.ParseSetCookie(v)
	ends := err == nil && c.MaxAge < 0
	for _, part := range parts[1:] {
		attribute, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(part)), "=")
		if attribute != "max-age" && attribute != "expires" || ends {
			out = append(out, strings.TrimSpace(part))
		}
	}
	return strings.Join(out, "; ")
}

func mark(salt, secret string) string {
	sum, err := pbkdf2.Key(sha256.New, secret, []byte("overland.lock "+salt), rounds, digestSize)
	if err != nil {
		panic(err) // the size is a valid one
	}
	return lockfile.MarkPrefix + salt + "." + hex.EncodeToString(sum)
}

// isOf reports whether m is the mark of secret, or secret that mark itself.
func isOf(m, secret string) bool {
	if m == secret {
		return true
	}
	salt, _, salted := strings.Cut(strings.TrimPrefix(m, lockfile.MarkPrefix), ".")
	return salted && secret != "" && !lockfile.IsMark(secret) && mark(salt, secret) == m
}

// sameCookies reports whether want, of a lock, is what it holds of the Cookie got.
func sameCookies(want, got string) bool {
	return slices.EqualFunc(pairs(want), pairs(got), func(a, b string) bool {
		name, m, _ := strings.Cut(a, "=")
		other, value, _ := strings.Cut(b, "=")
		return name == other && isOf(m, value)
	})
}

// pairs returns the pairs of a Cookie, sorted, each "name=value".
func pairs(v string) (list []string) {
	for pair := range strings.SplitSeq(v, ";") {
		if pair = strings.TrimSpace(pair); pair != "" {
			if !strings.Contains(pair, "=") {
				pair = "=" + pair // a value without a name (RFC 6265 §5.4)
			}
			list = append(list, pair)
		}
	}
	slices.Sort(list)
	return list
}
