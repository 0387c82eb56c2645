package client_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/trust"
	"overland/internal/trust/client"
)

// TestKeyTypes verifies metadata signed with each kind of key that TUF names, and refuses the same
// signature over other content, a flipped bit, a cut-off and an empty signature.
func TestKeyTypes(t *testing.T) {
	edPub, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	h256 := func(b []byte) []byte { s := sha256.Sum256(b); return s[:] }
	h384 := func(b []byte) []byte { s := sha512.Sum384(b); return s[:] }
	pss := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	for _, k := range []struct {
		name, scheme string
		pub          crypto.PublicKey
		sign         func(b []byte) ([]byte, error)
	}{
		{"ed25519", "ed25519", edPub, func(b []byte) ([]byte, error) { return ed25519.Sign(ed, b), nil }},
		{"ecdsa", "ecdsa-sha2-nistp256", &p256.PublicKey, func(b []byte) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, p256, h256(b)) }},
		{"ecdsa", "ecdsa-sha2-nistp384", &p384.PublicKey, func(b []byte) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, p384, h384(b)) }},
		{"rsa", "rsassa-pss-sha256", &rs.PublicKey, func(b []byte) ([]byte, error) { return rsa.SignPSS(rand.Reader, rs, crypto.SHA256, h256(b), pss) }},
	} {
		t.Run(k.scheme, func(t *testing.T) {
			key, err := metadata.KeyFromPublicKey(k.pub)
			if err != nil {
				t.Fatal(err)
			}
			key.Type, key.Scheme = k.name, k.scheme
			id, err := key.ID()
			if err != nil {
				t.Fatal(err)
			}
			root := metadata.Root(day0)
			root.Signed.Keys[id] = key
			root.Signed.Roles["root"].KeyIDs = []string{id}
			payload, err := cjson.EncodeCanonical(root.Signed)
			if err != nil {
				t.Fatal(err)
			}
			good, err := k.sign(payload)
			if err != nil {
				t.Fatal(err)
			}
			flipped := bytes.Clone(good)
			flipped[len(flipped)/2] ^= 1
			pinned := func(sig []byte) error {
				root.Signatures = []metadata.Signature{{KeyID: id, Signature: sig}}
				b, err := root.ToBytes(false)
				if err != nil {
					t.Fatal(err)
				}
				_, err = client.NewSet(b)
				return err
			}
			if err := pinned(good); err != nil {
				t.Errorf("a good signature: %v", err)
			}
			other, err := k.sign([]byte("other content"))
			if err != nil {
				t.Fatal(err)
			}
			for what, sig := range map[string][]byte{"flipped": flipped, "cut": good[:len(good)-1], "empty": {}, "of other content": other} {
				if err := pinned(sig); err == nil || !strings.Contains(err.Error(), trust.ErrSignature.Error()) {
					t.Errorf("%s signature: %v", what, err)
				}
			}
			key.Type = "unknown"
			if err := pinned(good); err == nil {
				t.Error("a key of an unknown type signed")
			}
		})
	}
}
