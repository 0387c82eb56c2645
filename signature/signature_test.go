package signature_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"overland/signature"
)

func TestOnlyTheSignatureOfTheMessageByTheKeyIsAccepted(t *testing.T) {
	message := []byte("live runs r412")
	sum := sha256.Sum256(message)
	edPub, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		pub    crypto.PublicKey
		signer crypto.Signer
		signed []byte
		opts   crypto.SignerOpts
	}{
		"ed25519": {edPub, edKey, message, crypto.Hash(0)},
		"ECDSA":   {&ecKey.PublicKey, ecKey, sum[:], crypto.SHA256},
		"RSA-PSS": {&rsaKey.PublicKey, rsaKey, sum[:], &rsa.PSSOptions{Hash: crypto.SHA256}},
	} {
		t.Run(name, func(t *testing.T) {
			sig, err := c.signer.Sign(rand.Reader, c.signed, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			v := verifier(t, c.pub)
			if err := v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)); err != nil {
				t.Error(err)
			}
			changed := bytes.Clone(sig)
			changed[len(changed)/2] ^= 1
			for what, pair := range map[string][2][]byte{
				"another message":   {sig, []byte("live runs r411")},
				"no message":        {sig, nil},
				"changed signature": {changed, message},
				"cut signature":     {sig[:len(sig)-1], message},
				"no signature":      {nil, message},
			} {
				if err := v.VerifySignature(bytes.NewReader(pair[0]), bytes.NewReader(pair[1])); !errors.Is(err, signature.ErrInvalid) {
					t.Errorf("%s: %v", what, err)
				}
			}
			broken := errors.New("broken")
			for _, err := range []error{
				v.VerifySignature(iotest.ErrReader(broken), bytes.NewReader(message)),
				v.VerifySignature(bytes.NewReader(sig), iotest.ErrReader(broken)),
			} {
				if !errors.Is(err, broken) {
					t.Errorf("a reader that fails: %v", err)
				}
			}
			text, err := signature.FormatPEM(c.pub)
			if err != nil {
				t.Fatal(err)
			}
			again, err := signature.ParsePEM(text)
			if equal, ok := again.(interface{ Equal(crypto.PublicKey) bool }); err != nil || !ok || !equal.Equal(c.pub) {
				t.Errorf("reads back as %v, %v", again, err)
			}
		})
	}
}

func verifier(t *testing.T, pub crypto.PublicKey) signature.Verifier {
	t.Helper()
	v, err := signature.New(pub, crypto.SHA256)
	if k, ok := pub.(*rsa.PublicKey); ok {
		v, err = signature.NewRSAPSS(k, crypto.SHA256, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWhatIsNotAKeyIsRefused(t *testing.T) {
	for name, pub := range map[string]crypto.PublicKey{
		"nothing": nil, "short ed25519": ed25519.PublicKey("short"), "no ECDSA": (*ecdsa.PublicKey)(nil), "RSA without PSS": &rsa.PublicKey{}, "text": "key",
	} {
		if v, err := signature.New(pub, crypto.SHA256); err == nil {
			t.Errorf("%s: %v", name, v)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := signature.New(&key.PublicKey, crypto.MD4); err == nil {
		t.Errorf("ECDSA with a hash that is not linked: %v", v)
	}
	if v, err := signature.NewRSAPSS(nil, crypto.SHA256, nil); err == nil {
		t.Errorf("no RSA key: %v", v)
	}
	if v, err := signature.NewRSAPSS(&rsa.PublicKey{}, crypto.MD4, nil); err == nil {
		t.Errorf("a hash that is not linked: %v", v)
	}
	for _, text := range []string{"", "key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if k, err := signature.ParsePEM([]byte(text)); err == nil {
			t.Errorf("%q: %v", strings.TrimSpace(text), k)
		}
	}
	if b, err := signature.FormatPEM("key"); err == nil {
		t.Errorf("%s", b)
	}
}
