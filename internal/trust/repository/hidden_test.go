package repository

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/trust"
)

// stagedBy lets who, one of the signers, put what change makes of the staged change into its place.
func stagedBy[T metadata.Roles](t *testing.T, s, who *site, file string, parse func([]byte) (*metadata.Metadata[T], error), change func(*metadata.Metadata[T])) {
	t.Helper()
	path := filepath.Join(s.dir, StagedDir, file)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := parse(b)
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	have, err := who.keys.List()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range have {
		ids = append(ids, k.ID)
	}
	m.Signatures = nil
	if n, err := sign(who.keys.ByID, m, ids); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	if b, err = m.ToBytes(false); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func refuses(t *testing.T, s, ben *site, role string) {
	t.Helper()
	now, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if list, err := now.Staged(); err != nil || len(list) != 0 {
		t.Errorf("offered: %+v, %v", list, err)
	}
	if r := now.Rejected(); len(r) != 1 || r[0].Role != role || r[0].Why == "" {
		t.Errorf("%+v; want it named", r)
	}
	if info, err := s.Show(t.Context()); err != nil || len(info.Rejected) != 1 {
		t.Errorf("%+v, %v; want it shown", info, err)
	}
	if err := ben.Sign(t.Context(), role); errs.KindOf(err) != errs.Denied {
		t.Errorf("signed: %v", err)
	}
}

// TestS10WhatSignersAreNotShown is a change by one of two signers of targets whose names, key ids and thresholds
// are those that hold already, and which hands the channel over all the same.
func TestS10WhatSignersAreNotShown(t *testing.T) {
	for name, change := range map[string]func(d *metadata.Delegations, live int, mallory ed25519.PublicKey){
		"another key under ann's id": func(d *metadata.Delegations, live int, mallory ed25519.PublicKey) {
			k, err := metadata.KeyFromPublicKey(mallory)
			if err != nil {
				t.Fatal(err)
			}
			d.Keys[d.Roles[live].KeyIDs[0]] = k
		},
		"the role twice": func(d *metadata.Delegations, live int, mallory ed25519.PublicKey) {
			first := d.Roles[live]
			first.KeyIDs, first.Threshold = nil, 1
			if err := addKey(d.Keys, &first.KeyIDs, trustKey(t, mallory)); err != nil {
				t.Fatal(err)
			}
			d.Roles = append([]metadata.DelegatedRole{first}, d.Roles...)
		},
		"another's paths": func(d *metadata.Delegations, live int, _ ed25519.PublicKey) {
			d.Roles[live].Paths = []string{"app/wallet/*"}
		},
		"not the last word": func(d *metadata.Delegations, live int, _ ed25519.PublicKey) { d.Roles[live].Terminating = false },
		"hashed bins": func(d *metadata.Delegations, _ int, _ ed25519.PublicKey) {
			ids := d.Roles[0].KeyIDs
			d.Roles = nil
			d.SuccinctRoles = &metadata.SuccinctRoles{KeyIDs: ids, Threshold: 1, BitLength: 1, NamePrefix: "bin"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, InitOptions{})
			if err := s.AddSigner(t.Context(), "channel/live", s.newKey("ann"), 0); err != nil {
				t.Fatal(err)
			}
			if err := s.AddSigner(t.Context(), metadata.TARGETS, s.newKey("ben"), 2); err != nil {
				t.Fatal(err)
			}
			evil, ben := s.machine("targets", "online"), s.machine("ben", "online")
			if err := evil.AddSigner(t.Context(), "channel/live", s.newKey("cem"), 0); !errors.Is(err, ErrStaged) {
				t.Fatal(err)
			}
			now, err := s.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			mallory, _, err := ed25519.GenerateKey(nil)
			if err != nil {
				t.Fatal(err)
			}
			file := trust.WireName(metadata.TARGETS, now.top().Signed.Version+1)
			stagedBy(t, s, evil, file, func(b []byte) (*trust.TargetsMetadata, error) { return trust.ParseTargets(b, metadata.TARGETS) },
				func(m *trust.TargetsMetadata) {
					m.Signed.Delegations = clone(t, now.top()).Signed.Delegations
					for i, d := range m.Signed.Delegations.Roles {
						if d.Name == "channel/live" {
							change(m.Signed.Delegations, i, mallory)
							return
						}
					}
					t.Fatal("no role channel/live")
				})
			refuses(t, s, ben, metadata.TARGETS)
		})
	}
}

// TestS10ARootWithAnothersKeyUnderAnId is a change of root by one of its two signers in which ben's id has another key.
func TestS10ARootWithAnothersKeyUnderAnId(t *testing.T) {
	s := newSite(t, InitOptions{})
	ben := s.newKey("ben")
	if err := s.AddSigner(t.Context(), metadata.ROOT, ben, 2); err != nil {
		t.Fatal(err)
	}
	evil, other := s.machine("root", "targets", "online"), s.machine("ben", "online")
	if err := evil.AddSigner(t.Context(), metadata.ROOT, s.newKey("cem"), 0); !errors.Is(err, ErrStaged) {
		t.Fatal(err)
	}
	now, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mallory, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	stagedBy(t, s, evil, trust.WireName(metadata.ROOT, now.root.Signed.Version+1), trust.ParseRoot, func(m *trust.RootMetadata) {
		m.Signed.Roles, m.Signed.Keys = now.root.Signed.Roles, map[string]*metadata.Key{}
		for id, k := range now.root.Signed.Keys {
			m.Signed.Keys[id] = k
		}
		if m.Signed.Keys[ben.ID], err = metadata.KeyFromPublicKey(mallory); err != nil {
			t.Fatal(err)
		}
	})
	refuses(t, s, other, metadata.ROOT)
}

// TestABrokenSignatureKeepsNobodyAway is a staged change in which somebody who can write there, and has no key, put
// a broken signature under the ids of its signers.
func TestABrokenSignatureKeepsNobodyAway(t *testing.T) {
	for _, role := range []string{metadata.ROOT, "channel/live"} {
		s := newSite(t, InitOptions{})
		for i, name := range []string{"ann", "ben"} {
			if err := s.AddSigner(t.Context(), "channel/live", s.newKey(name), i+1); err != nil {
				t.Fatal(err)
			}
		}
		ben := s.machine("ben", "root", "targets", "online")
		if role == metadata.ROOT {
			if err := s.machine("root", "targets", "online").AddSigner(t.Context(), role, publicOf(t, s, "ben"), 2); !errors.Is(err, ErrStaged) {
				t.Fatal(err)
			}
		} else if err := s.machine("ann", "targets", "online").SetTargets(t.Context(), role, put("channel/live/wallet", "r1")); !errors.Is(err, ErrStaged) {
			t.Fatal(err)
		}
		now, err := s.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(s.dir, StagedDir, trust.WireName(role, now.Version(role)+1))
		if role == metadata.ROOT {
			path = filepath.Join(s.dir, StagedDir, trust.WireName(role, 2))
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		broken := `"signatures":[{"keyid":"` + publicOf(t, s, "ben").ID + `","sig":"` + strings.Repeat("00", 64) + `"},`
		if b = bytes.Replace(b, []byte(`"signatures":[`), []byte(broken), 1); !bytes.Contains(b, []byte(broken)) {
			t.Fatalf("%s", b)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ben.Sign(t.Context(), role); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}

func publicOf(t *testing.T, s *site, name string) trust.PublicKey {
	t.Helper()
	pub, err := s.keys.Public(name)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func clone(t *testing.T, m *trust.TargetsMetadata) *trust.TargetsMetadata {
	t.Helper()
	b, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	out, err := trust.ParseTargets(b, metadata.TARGETS)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func trustKey(t *testing.T, key ed25519.PublicKey) trust.PublicKey {
	t.Helper()
	pub, err := trust.NewPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}
