package client

import (
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
)

func FuzzSeen(f *testing.F) {
	s := &seen{Seq: 3, Pin: trust.Fingerprint(trust.FingerprintPrefix + strings.Repeat("a", 64)), PinVersion: 1, Root: 2}
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

// FuzzMetadata gives a node bytes in the place of each file: whatever they are, it neither
// panics nor takes them for signed.
func FuzzMetadata(f *testing.F) {
	p := attack.New(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
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
		if len(b) > trust.MaxTimestamp {
			return
		}
		if root, err := trust.ParseRoot(b); err == nil {
			if set.Root.VerifyDelegate("root", root) == nil && root.Signed.Version > 2 {
				t.Fatal("a root that nobody signed")
			}
			_ = root.VerifyDelegate("root", root) // with whatever keys it brings
		} else if errs.KindOf(err) != errs.Untrusted {
			t.Fatal(err)
		}
		if ts, err := trust.ParseTimestamp(b); err == nil {
			_, _ = trust.SignedAt(ts.Signed.UnrecognizedFields)
			_ = ts.Signed.Meta["snapshot.json"].VerifyLengthHashes(b)
		}
		if sn, err := trust.ParseSnapshot(b); err == nil {
			for _, m := range sn.Signed.Meta {
				_ = m.VerifyLengthHashes(b)
			}
		}
		if m, err := trust.ParseTargets(b, "targets"); err == nil {
			_ = delegated(m, "app/wallet/r1")
			_ = trust.FilesOf(m)
			_ = m.VerifyDelegate("app/wallet", m)
		}
	})
}
