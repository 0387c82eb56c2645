package keys

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"overland/internal/errs"
)

func FuzzKeyFile(f *testing.F) {
	key := make([]byte, 64)
	plain, err := encodePrivate(key, nil, 0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(EncodePublic(make([]byte, 32)))
	f.Add([]byte("-----BEGIN OVERLAND ENCRYPTED PRIVATE KEY-----\ne30=\n-----END OVERLAND ENCRYPTED PRIVATE KEY-----\n"))
	locked, err := encodePrivate(key, []byte("secret"), 10)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(locked)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxKeyFile {
			return
		}
		if pub, err := ParsePublic(b); err == nil {
			if again, err := ParsePublic(EncodePublic(pub.Key)); err != nil || again.ID != pub.ID {
				t.Fatalf("%+v becomes %+v, %v", pub, again, err)
			}
			if bytes.Contains(b, []byte("PRIVATE KEY")) {
				t.Fatal("a private key was taken for a public one")
			}
		}
		if isLocked(b) {
			return // scrypt is slow by design
		}
		if priv, err := decodePrivate(b, nil); err == nil && len(priv) != 64 {
			t.Fatalf("a key of %d bytes", len(priv))
		}
	})
}

func FuzzSignature(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Add([]byte(strings.Repeat("0f", 64) + "\n"))
	f.Add([]byte(base64.StdEncoding.EncodeToString(make([]byte, 64))))
	f.Fuzz(func(t *testing.T, b []byte) {
		sig, err := ParseSignature(b)
		if err == nil && len(sig) != 64 || err != nil && (sig != nil || errs.HintOf(err) == "") {
			t.Fatalf("%d bytes, %v", len(sig), err)
		}
	})
}
