package digest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	godigest "github.com/opencontainers/go-digest"
)

// Digest is a blob's name, "sha256:<64 hex>". It is the OCI image specification's type, so a
// descriptor needs no conversion; only sha256 is accepted here. The zero value names nothing.
type Digest = godigest.Digest

// Size is the length of a raw sha256 in bytes.
const Size = sha256.Size

var (
	// ErrInvalid is returned for text that is not the name of a blob.
	ErrInvalid = errors.New("not a sha256 digest")
	// ErrMismatch is returned when bytes do not have the digest that names them.
	ErrMismatch = errors.New("content does not match its digest")
)

// Parse returns s as a Digest, or an error that wraps ErrInvalid. Upper-case hex is refused: one
// blob has one name.
func Parse(s string) (Digest, error) {
	h, ok := strings.CutPrefix(s, "sha256:")
	if !ok {
		return "", fmt.Errorf("digest %.100q: %w", s, ErrInvalid)
	}
	return FromHex(h)
}

// FromHex returns the Digest of 64 lower-case hex digits, or an error that wraps ErrInvalid.
func FromHex(h string) (Digest, error) {
	if len(h) != 2*Size || strings.Trim(h, "0123456789abcdef") != "" {
		return "", fmt.Errorf("digest %.100q: %w", h, ErrInvalid)
	}
	return Digest("sha256:" + h), nil
}

// Of returns the Digest of b.
func Of(b []byte) Digest {
	sum := sha256.Sum256(b)
	return FromRaw(sum[:])
}

// FromRaw returns the Digest of the raw 32-byte sum. It panics when sum has another length: the
// caller's own bug.
func FromRaw(sum []byte) Digest {
	if len(sum) != Size {
		panic(fmt.Sprintf("digest: raw sum of %d bytes", len(sum)))
	}
	return Digest("sha256:" + hex.EncodeToString(sum))
}

// Hasher computes a Digest of what is written to it. Write never fails.
type Hasher struct{ hash.Hash }

// New returns an empty Hasher.
func New() Hasher { return Hasher{sha256.New()} }

// Digest returns the name of everything written so far.
func (h Hasher) Digest() Digest { return FromRaw(h.Sum(nil)) }

// Reader returns a reader of r that ends with an error wrapping ErrMismatch instead of io.EOF when
// what was read is not exactly size bytes named want. At most size+1 bytes are read from r: an
// endless source costs one byte. A negative size means unknown.
func Reader(r io.Reader, want Digest, size int64) io.Reader {
	v := &verifier{r: r, h: New(), want: want, size: size}
	if size >= 0 {
		v.r = io.LimitReader(r, size+1)
	}
	return v
}

type verifier struct {
	r    io.Reader
	h    Hasher
	want Digest
	size int64
	n    int64
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.n += int64(n)
	if v.size >= 0 && v.n > v.size {
		return 0, fmt.Errorf("%s: longer than %d bytes: %w", v.want, v.size, ErrMismatch)
	}
	v.h.Write(p[:n])
	if err == io.EOF {
		if v.size >= 0 && v.n != v.size {
			return n, fmt.Errorf("%s: %d of %d bytes: %w", v.want, v.n, v.size, ErrMismatch)
		}
		if got := v.h.Digest(); got != v.want {
			return n, fmt.Errorf("%s: got %s: %w", v.want, got, ErrMismatch)
		}
	}
	return n, err
}
