package keys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"overland/internal/errs"
)

// MaxSignature is the size in bytes of the largest file that ParseSignature reads.
const MaxSignature = 4 << 10

// ParseSignature returns the ed25519 signature in b, a file that another tool made: its 64 bytes, or
// these as hexadecimal digits or as base64 with white space around. What ssh-keygen and gpg write is
// over other bytes than they were given, and refused by name.
func ParseSignature(b []byte) ([]byte, error) {
	if len(b) == ed25519.SignatureSize {
		return b, nil
	}
	if text := string(bytes.TrimSpace(b)); len(b) <= MaxSignature {
		text = strings.Join(strings.Fields(text), "")
		for _, decode := range []func(string) ([]byte, error){
			hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		} {
			if sig, err := decode(text); err == nil && len(sig) == ed25519.SignatureSize {
				return sig, nil
			}
		}
	}
	hint := "openssl pkeyutl -sign -rawin -inkey KEY -in PAYLOAD -out FILE makes one"
	if bytes.Contains(b, []byte("BEGIN SSH SIGNATURE")) || bytes.Contains(b, []byte("BEGIN PGP")) {
		err := errs.Errorf(errs.Invalid, "a signature in an envelope, which covers more than the payload: no node could verify it")
		return nil, errs.Hint(err, "%s", hint)
	}
	return nil, errs.Hint(errs.Errorf(errs.Invalid, "not an ed25519 signature of %d bytes, raw, in hexadecimal or base64", ed25519.SignatureSize), "%s", hint)
}
