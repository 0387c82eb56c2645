package pypi

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"io"
	"strings"

	"overland/internal/errs"
	"overland/internal/lockfile"
)

// promise is what an index says of a file's hash: hexadecimal digits by algorithm.
type promise map[string]string

// digests are the algorithms that prove something, the strongest first. md5 and sha1,
// which the protocol allows, do not.
var digests = []struct {
	name string
	new  func() hash.Hash
}{
	{"sha512", sha512.New},
	{"sha384", sha512.New384},
	{"sha256", sha256.New},
}

// strongest returns the best algorithm of p; "" when it has none.
func (p promise) strongest() string {
	for _, a := range digests {
		if p[a.name] != "" {
			return a.name
		}
	}
	return ""
}

// same reports whether p and q do not contradict each other.
func (p promise) same(q promise) bool {
	for k, v := range p {
		if w, ok := q[k]; ok && !strings.EqualFold(v, w) {
			return false
		}
	}
	return true
}

// prove returns the proof of the bytes r: none without a promise,
// errs.Untrusted when one does not hold.
func (p promise) prove(r io.Reader) (lockfile.Proof, error) {
	for _, a := range digests {
		want := strings.ToLower(p[a.name])
		if want == "" {
			continue
		}
		h := a.new()
		if _, err := io.Copy(h, r); err != nil {
			return lockfile.Proof{}, err
		}
		got := hex.EncodeToString(h.Sum(nil))
		if got != want {
			return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "%s %s, the index promises %.200s", a.name, got, want)
		}
		return lockfile.Proof{Kind: "pypi-" + a.name, Value: got}, nil
	}
	return lockfile.Proof{}, nil
}
