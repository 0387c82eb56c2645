package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"

	"overland/internal/errs"
)

// FingerprintPrefix starts every Fingerprint.
const FingerprintPrefix = "sha256:"

// Fingerprint names one root version: "sha256:" and 64 lower-case hex digits of the sha256 over the
// canonical JSON of its signed part. The zero value names nothing.
type Fingerprint string

// ParseFingerprint returns what a person typed as a Fingerprint: the prefix may be missing, hex may
// be upper case and in groups parted by spaces, "-" or ":".
func ParseFingerprint(s string) (Fingerprint, error) {
	if len(s) > 1024 {
		return "", errs.Errorf(errs.Invalid, "fingerprint of %d characters: too long", len(s))
	}
	h := strings.ToLower(strings.TrimSpace(s))
	h = strings.TrimPrefix(h, FingerprintPrefix)
	h = strings.NewReplacer(" ", "", "\t", "", "\n", "", "\r", "", "-", "", ":", "").Replace(h)
	if len(h) != 2*sha256.Size || strings.Trim(h, "0123456789abcdef") != "" {
		err := errs.Errorf(errs.Invalid, "fingerprint %.100q: not 64 hex digits", s)
		return "", errs.Hint(err, "overland trust show prints the fingerprint, on the machine that signs")
	}
	return Fingerprint(FingerprintPrefix + h), nil
}

// Groups returns f for people: sixteen groups of four hex digits.
func (f Fingerprint) Groups() string {
	h := strings.TrimPrefix(string(f), FingerprintPrefix)
	var groups []string
	for ; len(h) >= 4; h = h[4:] {
		groups = append(groups, h[:4])
	}
	return strings.Join(groups, " ")
}

// FingerprintOf returns the Fingerprint of the root metadata b. It says nothing
// of whether b is to be trusted.
func FingerprintOf(b []byte) (Fingerprint, error) {
	root, err := ParseRoot(b)
	if err != nil {
		return "", err
	}
	return FingerprintOfRoot(root)
}

// FingerprintOfRoot is FingerprintOf for a root that is parsed already.
func FingerprintOfRoot(root *RootMetadata) (Fingerprint, error) {
	canonical, err := cjson.EncodeCanonical(root.Signed)
	if err != nil {
		return "", fmt.Errorf("fingerprint of root %d: %w", root.Signed.Version, err)
	}
	sum := sha256.Sum256(canonical)
	return Fingerprint(FingerprintPrefix + hex.EncodeToString(sum[:])), nil
}
