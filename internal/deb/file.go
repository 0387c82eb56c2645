package deb

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"overland/internal/errs"
)

// File is what a signed document says of a file, or what a file was measured to be.
type File struct {
	Size   int64  // bytes
	SHA256 string // 64 lower-case hex digits; "" when not given
	SHA512 string // 128 lower-case hex digits; "" when not given
}

// Measure reads r to its end and returns its size and sha256, and its sha512 when both are wanted.
func Measure(r io.Reader, both bool) (File, error) {
	a, b := sha256.New(), sha512.New()
	into := io.Writer(a)
	if both {
		into = io.MultiWriter(a, b)
	}
	n, err := io.Copy(into, r)
	got := File{Size: n, SHA256: hex.EncodeToString(a.Sum(nil))}
	if both {
		got.SHA512 = hex.EncodeToString(b.Sum(nil))
	}
	return got, err
}

// Check returns errs.Untrusted unless got, the measure of a file, is what the signed f says. Each
// digest of f must be in got, and f must have one.
func (f File) Check(got File) error {
	switch {
	case got.Size != f.Size:
		return errs.Errorf(errs.Untrusted, "%d bytes, signed are %d", got.Size, f.Size)
	case f.SHA256 == "" && f.SHA512 == "":
		return errs.Errorf(errs.Untrusted, "no sha256 or sha512 of it is signed")
	case f.SHA256 != "" && got.SHA256 != f.SHA256:
		return errs.Errorf(errs.Untrusted, "sha256 %s, signed is %s", got.SHA256, f.SHA256)
	case f.SHA512 != "" && got.SHA512 != f.SHA512:
		return errs.Errorf(errs.Untrusted, "sha512 %s, signed is %s", got.SHA512, f.SHA512)
	}
	return nil
}

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("size %.100q", s)
	}
	return int64(n), nil
}

func isHex(s string, digits int) bool {
	if len(s) != digits || strings.ToLower(s) != s {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}
