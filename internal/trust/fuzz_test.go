package trust

import (
	"bytes"
	"strings"
	"testing"

	"overland/internal/errs"
	"overland/internal/testkit/attack"
)

func FuzzParseFingerprint(f *testing.F) {
	f.Add("sha256:" + strings.Repeat("0aF9", 16))
	f.Add("01:23-45 67")
	f.Fuzz(func(t *testing.T, s string) {
		fp, err := ParseFingerprint(s)
		if err != nil {
			if fp != "" {
				t.Fatalf("%q and an error", fp)
			}
			return
		}
		if again, err := ParseFingerprint(fp.Groups()); err != nil || again != fp {
			t.Fatalf("%q becomes %q, %v", fp, again, err)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	key := make([]byte, 64)
	plain, err := encodePrivate(key, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add(EncodePublicKey(make([]byte, 32)))
	f.Add([]byte("-----BEGIN OVERLAND ENCRYPTED PRIVATE KEY-----\ne30=\n-----END OVERLAND ENCRYPTED PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxKeyFile {
			return
		}
		if pub, err := ParsePublicKey(b); err == nil {
			if again, err := ParsePublicKey(EncodePublicKey(pub.Key)); err != nil || again.ID != pub.ID {
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

func FuzzSeen(f *testing.F) {
	s := &seen{Seq: 3, Pin: Fingerprint(FingerprintPrefix + strings.Repeat("a", 64)), PinVersion: 1, Root: 2}
	b, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(seenMagic + "sha256:\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSeen(b)
		if err == nil && (s.Pin == "" || s.PinVersion < 1) {
			t.Fatalf("nothing pinned: %+v", s)
		}
	})
}

// FuzzMetadata gives a node bytes in the place of each file: whatever they are, it neither panics nor takes them for
// signed.
func FuzzMetadata(f *testing.F) {
	p := attack.New(day0)
	p.Delegate("targets", "app/wallet", "app/wallet/*")
	p.Put("app/wallet", "app/wallet/r1", "one")
	p.Hashes = false
	p.PublishRoot()
	p.Publish("targets", "app/wallet")
	files := p.Files()
	for name, b := range files {
		if strings.HasSuffix(name, ".json") {
			f.Add(b)
		}
	}
	f.Add([]byte(`{"signed":{"_type":"targets","version":1,"delegations":{"keys":{},"succinct_roles":{"bit_length":-1}}}}`))
	f.Add([]byte(`{"signed":{"_type":"root","version":2,"keys":{"a":{"keytype":"ed25519","keyval":{"public":"00"}}}}}`))
	set, err := newSet(files["1.root.json"])
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxTimestamp {
			return
		}
		if root, err := parseRoot(b); err == nil {
			if set.Root.VerifyDelegate("root", root) == nil && root.Signed.Version > 2 {
				t.Fatal("a root that nobody signed")
			}
			_ = root.VerifyDelegate("root", root) // with whatever keys it brings
		} else if errs.KindOf(err) != errs.Untrusted {
			t.Fatal(err)
		}
		if ts, err := parseTimestamp(b); err == nil {
			_, _ = signedAt(ts.Signed.UnrecognizedFields)
			_ = ts.Signed.Meta["snapshot.json"].VerifyLengthHashes(b)
		}
		if sn, err := parseSnapshot(b); err == nil {
			for _, m := range sn.Signed.Meta {
				_ = m.VerifyLengthHashes(b)
			}
		}
		if m, err := parseTargets(b, "targets"); err == nil {
			_ = delegated(m, "app/wallet/r1")
			_ = targetFiles(m)
			_ = m.VerifyDelegate("app/wallet", m)
		}
	})
}
