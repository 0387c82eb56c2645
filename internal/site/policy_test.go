package site

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"overland/internal/home"
	"overland/internal/netcache/server"
)

// A policy that is gone takes rights with it, not revocations; one that is there says everything.
func TestRevocationsOutliveTheirFile(t *testing.T) {
	dir, other := t.TempDir(), newSite(t)
	certificate, err := os.ReadFile(filepath.Join(home.TLS.In(other), certFile)) // as good as any
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "policy.json")
	write := func(policy map[string]any) {
		t.Helper()
		text, err := json.Marshal(policy)
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	known, err := openFacts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	started := func() *policyOnDisk {
		p := &policyOnDisk{path: path, facts: known, log: slog.New(slog.DiscardHandler)}
		if err := p.read(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	const identity = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	write(map[string]any{
		"accounts": []any{map[string]any{"name": "alice", "identity": identity, "prefixes": []string{"x"}}},
		"revoked":  string(certificate), "revokedIds": []string{"lost"},
	})
	running := started()
	before := running.now()
	if len(before.Accounts) != 1 || len(before.Revoked) != 1 || len(before.RevokedIDs) != 1 {
		t.Fatalf("%+v", before)
	}
	if list, err := known.Accounts(t.Context()); err != nil || len(list) != 1 || list[0].Name != "alice" || list[0].Identity != identity {
		t.Errorf("in the database: %+v, %v", list, err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	// Twice after a start: what the first one stored is what the second one finds.
	for i, now := range []*server.Policy{running.now(), started().now(), started().now()} {
		if len(now.Accounts) != 0 || len(now.Revoked) != 1 || now.Revoked[0].ID != before.Revoked[0].ID || len(now.RevokedIDs) != 1 ||
			now.RevokedIDs[0] != "lost" {
			t.Errorf("%d: without a file: %+v", i, now)
		}
	}

	write(map[string]any{"open": true})
	if now := running.now(); len(now.Revoked)+len(now.RevokedIDs) != 0 || !now.Open {
		t.Errorf("a file without them: %+v", now)
	}
	if list, err := known.Revoked(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("in the database: %+v, %v", list, err)
	}
}

// What could not be stored is stored when that can be done again, though the file is the same.
func TestAPolicyIsStoredLater(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.json")
	if err := os.WriteFile(path, []byte(`{"revokedIds": ["lost"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	closed, err := openFacts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	p := &policyOnDisk{path: path, facts: closed, log: slog.New(slog.DiscardHandler)}
	if now := p.now(); now == nil || len(now.RevokedIDs) != 1 {
		t.Fatalf("a policy that cannot be stored does not count: %+v", now)
	}
	known, err := openFacts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	p.facts = known
	p.now()
	if list, err := known.Revoked(t.Context()); err != nil || len(list) != 1 || list[0].KeyID != "lost" {
		t.Errorf("in the database: %+v, %v", list, err)
	}
}
