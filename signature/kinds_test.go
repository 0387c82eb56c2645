package signature_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"testing"

	"overland/signature"
)

// A key is taken from a block that says what it is, and from no other; the salt that is asked for is the one that counts.
func TestKindsOfKeys(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkix, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	for _, c := range []struct {
		kind  string
		bytes []byte
		ok    bool
	}{
		{"PUBLIC KEY", pkix, true},
		{"RSA PUBLIC KEY", pkcs, true},
		{"RSA PUBLIC KEY", pkix, false},
		{"PUBLIC KEY", pkcs, false},
		{"PRIVATE KEY", pkix, false},
		{"CERTIFICATE", pkix, false},
	} {
		got, err := signature.ParsePEM(pem.EncodeToMemory(&pem.Block{Type: c.kind, Bytes: c.bytes}))
		if (err == nil) != c.ok || c.ok && !key.PublicKey.Equal(got) {
			t.Errorf("%s of %d bytes: %v, %v", c.kind, len(c.bytes), got, err)
		}
	}
	sum := sha256.Sum256([]byte("message"))
	salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	for length, want := range map[int]bool{sha256.Size: true, 20: false} {
		sig, err := key.Sign(rand.Reader, sum[:], &rsa.PSSOptions{SaltLength: length, Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		v, err := signature.NewRSAPSS(&key.PublicKey, crypto.SHA256, salt)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.VerifySignature(bytes.NewReader(sig), bytes.NewReader([]byte("message"))); (err == nil) != want {
			t.Errorf("a salt of %d bytes: %v", length, err)
		}
	}
}
