package trust_test

import (
	"slices"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
)

func TestStatement(t *testing.T) {
	p := attack.New(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	p.Delegate("targets", "app/wallet", "app/wallet/*")
	p.Put("app/wallet", "app/wallet/r1", "one")
	p.Publish("targets", "app/wallet")
	for name, want := range map[string]trust.Statement{
		"timestamp.json":        {Type: "timestamp", Role: "timestamp"},
		"1.root.json":           {Type: "root", Role: "root"},
		"1.app%2Fwallet.json":   {Type: "targets", Role: "app/wallet"},
		"1.a.b%2Ec%2Fd%25.json": {Type: "", Role: "a.b.c/d%"},
	} {
		b := p.Files()[name]
		if b == nil {
			b = []byte("{}")
		}
		got, err := trust.ReadStatement(name, b)
		if err != nil || got.Type != want.Type || got.Role != want.Role {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if want.Type != "" && (got.Version < 1 || got.Expires.IsZero() || len(got.KeyIDs) == 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := trust.ReadStatement("timestamp.json", []byte("<html>")); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("%v; want untrusted", err)
	}
}

func TestWireNames(t *testing.T) {
	for _, role := range []string{"root", "app/wallet", "a.b", "3.x", "../x", "ü", "a%2Fb"} {
		for _, version := range []int64{0, 1, 412} {
			if version == 0 && role == "3.x" {
				continue // "3.x.json" is version 3 of x: only timestamp has no number
			}
			if got := trust.RoleOf(trust.WireName(role, version)); got != role {
				t.Errorf("version %d of %q comes back as %q", version, role, got)
			}
		}
	}
	names := []string{"10.a.json", "2.a.json", "a.json", "2.b.json", "0.a.json", "-1.a.json", "x.a.json", "3.a.json.tmp"}
	if got := trust.Versions(names, "a"); !slices.Equal(got, []int64{2, 10}) {
		t.Errorf("versions %v", got)
	}
}
