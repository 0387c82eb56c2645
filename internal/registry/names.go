package registry

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"regexp"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
)

// Name is the name of a repository: "staging/wallet".
type Name string

const nameLimit = 255 // bytes

var (
	nameForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// ParseName returns s as the name of a repository, or an error (errs.Invalid).
func ParseName(s string) (Name, error) {
	if len(s) > nameLimit || !nameForm.MatchString(s) {
		return "", fail(errs.Invalid, NameInvalid, "repository %.100q: lower-case letters and digits, with . _ - between them and / between parts", s)
	}
	return Name(s), nil
}

// Digest is the name of bytes as a client writes it: "sha256:" or "sha512:" and lower-case hex.
type Digest string

// Algorithm returns what is before the colon.
func (d Digest) Algorithm() string { a, _, _ := strings.Cut(string(d), ":"); return a }

// SHA512 reports whether d is a sha512, and no blob's own name.
func (d Digest) SHA512() bool { return d.Algorithm() == "sha512" }

// ParseDigest returns s as a Digest, or an error (errs.Invalid).
func ParseDigest(s string) (Digest, error) {
	algorithm, text, _ := strings.Cut(s, ":")
	size := map[string]int{"sha256": sha256.Size, "sha512": sha512.Size}[algorithm]
	if size == 0 || len(text) != 2*size || strings.Trim(text, "0123456789abcdef") != "" {
		return "", fail(errs.Invalid, DigestInvalid, "digest %.150q: sha256 or sha512, a colon and lower-case hex", s)
	}
	return Digest(s), nil
}

// Of returns the name of b by the algorithm of d.
func (d Digest) of(b []byte) Digest {
	if d.SHA512() {
		sum := sha512.Sum512(b)
		return Digest("sha512:" + hex.EncodeToString(sum[:]))
	}
	return Digest(digest.Of(b))
}

// Reference names a manifest: by a tag or by a digest, one of which is "".
type Reference struct {
	Tag    string
	Digest Digest
}

// ParseReference returns what s, the last part of a manifest's path, names, or an error (errs.Invalid).
func ParseReference(s string) (Reference, error) {
	if strings.Contains(s, ":") {
		d, err := ParseDigest(s)
		return Reference{Digest: d}, err
	}
	if !tagForm.MatchString(s) {
		return Reference{}, fail(errs.Invalid, ManifestInvalid, "tag %.150q: up to 128 letters, digits and ._-", s)
	}
	return Reference{Tag: s}, nil
}
