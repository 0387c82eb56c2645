package deb

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/testkit/pack"
)

var (
	birth = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	today = birth.AddDate(0, 0, 10)
)

// TestEachSignatureIsJudgedOnItsOwn: one with a weak hash is refused, and
// does no harm beside a good one.
func TestEachSignatureIsJudgedOnItsOwn(t *testing.T) {
	text := []byte("Suite: calm\r\n")
	weak, good, stranger := pack.OpenPGP(birth), pack.OpenPGP(birth), pack.OpenPGP(birth)
	made := func(key *openpgp.Entity, hash crypto.Hash) []byte {
		sig := &packet.Signature{
			Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PrivateKey.PubKeyAlgo, Hash: hash,
			CreationTime: birth.Add(time.Hour), IssuerKeyId: &key.PrimaryKey.KeyId,
		}
		h, err := sig.PrepareSign(nil)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(text)
		var b bytes.Buffer
		if err := errors.Join(sig.Sign(h, key.PrivateKey, nil), sig.Serialize(&b)); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	sha1, sha256, other := made(weak, crypto.SHA256), made(good, crypto.SHA256), made(stranger, crypto.SHA512)
	const hashAt, sha1ID = 5, 2 // the library makes none with SHA-1 (RFC 9580 §5.2.3)
	sha1[hashAt] = sha1ID
	keys := openpgp.EntityList{weak, good}
	for name, c := range map[string]struct {
		signatures []byte
		want       *openpgp.Entity
		why        string
	}{
		"weak":               {sha1, nil, "weak hash"},
		"stranger":           {other, nil, "unknown entity"},
		"weak, stranger":     {slices.Concat(sha1, other), nil, "weak hash"},
		"weak, good":         {slices.Concat(sha1, sha256), good, ""},
		"stranger, good":     {slices.Concat(other, sha256), good, ""},
		"none":               {nil, nil, "unknown entity"},
		"too many":           {bytes.Repeat(other, signatureLimit+1), nil, "more than"},
		"something else too": {slices.Concat(other, []byte("\xcb\x01x")), nil, ""},
	} {
		got, err := verify(text, bytes.NewReader(c.signatures), keys, today)
		if got != c.want || (err == nil) != (c.want != nil) || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestExpiredSignaturesAreRefused(t *testing.T) {
	for name, prepare := range map[string]func() (*openpgp.Entity, *packet.Config){
		"expired key": func() (*openpgp.Entity, *packet.Config) {
			life := &packet.Config{Time: clock.At(birth), Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: 3600}
			key, err := openpgp.NewEntity("short", "", "short@invalid", life)
			if err != nil {
				t.Fatal(err)
			}
			return key, &packet.Config{Time: clock.At(birth.Add(time.Minute))}
		},
		"expired signature": func() (*openpgp.Entity, *packet.Config) {
			return pack.OpenPGP(birth), &packet.Config{Time: clock.At(birth), SigLifetimeSecs: 3600}
		},
	} {
		key, config := prepare()
		b := pack.ClearSign(key, "Suite: calm\n", config)
		if _, _, err := VerifyInRelease(b, openpgp.EntityList{key}, today); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v", name, err)
		}
	}
}
