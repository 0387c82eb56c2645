package client_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust/client"
)

// TestPublisherWithoutConsistentSnapshots serves files without numbers in their
// names, as other publishers may.
func TestPublisherWithoutConsistentSnapshots(t *testing.T) {
	p := attack.New(day0)
	p.Hashes = false
	p.Root.Signed.ConsistentSnapshot = false
	p.PublishRoot()
	p.Delegate("targets", "app/wallet", "app/wallet/*")
	p.Put("app/wallet", "app/wallet/r1", "one")
	p.Publish("targets", "app/wallet")
	for numbered, plain := range map[string]string{
		"2.snapshot.json": "snapshot.json", "2.targets.json": "targets.json", "1.app%2Fwallet.json": "app%2Fwallet.json",
	} {
		p.SetFile(plain, p.Files()[numbered])
		p.SetFile(numbered, nil)
	}
	v := newVictim(t, p)
	v.accepts(p)
	v.says("app/wallet/r1", "one")
}

// TestSuccinctHashBins finds targets in bins that one key signs (TAP 15).
func TestSuccinctHashBins(t *testing.T) {
	p := attack.New(day0)
	k := attack.NewKey()
	p.Roles["targets"].Signed.Delegations = &metadata.Delegations{
		Keys:          map[string]*metadata.Key{k.ID: k.Public},
		SuccinctRoles: &metadata.SuccinctRoles{KeyIDs: []string{k.ID}, Threshold: 1, BitLength: 2, NamePrefix: "node"},
	}
	var bins []string
	for i := range 4 {
		bin := fmt.Sprintf("node-%x", i)
		p.Roles[bin] = metadata.Targets(day0)
		p.Roles[bin].Signed.Version = 0
		p.Signers[bin] = []attack.Key{k}
		p.Put(bin, "a", "by "+bin)
		bins = append(bins, bin)
	}
	p.Publish(append(bins, "targets")...)
	v := newVictim(t, p)
	v.accepts(p)
	v.says("a", "by node-3") // sha256("a") begins with the bits 11
	if _, err := v.Targets(context.Background(), "node-3"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a bin is no role of ours: %v", err)
	}
}

// TestRoleReachedByTwoWays has one role delegated to by two others with
// different keys: each way needs its own.
func TestRoleReachedByTwoWays(t *testing.T) {
	p := attack.New(day0)
	for _, side := range []string{"a", "b"} {
		p.Delegate("targets", "team-"+side, side+"/*")
		p.Delegate("team-"+side, "shared", side+"/*")
		p.Put("shared", side+"/x", side)
	}
	p.Signers["shared"] = p.Signers["shared"][:1] // signed by what team-a trusts only
	p.Publish("targets", "team-a", "team-b", "shared")
	v := newVictim(t, p)
	v.accepts(p)
	v.says("a/x", "a")
	if _, err := v.Target(context.Background(), "b/x"); errs.KindOf(err) != errs.Untrusted {
		t.Fatalf("team-b's delegation was satisfied by team-a's key: %v", err)
	}
	v.says("a/x", "a")
}

// TestDelegationCycle ends.
func TestDelegationCycle(t *testing.T) {
	p := attack.New(day0)
	p.Delegate("targets", "a", "*")
	p.Delegate("a", "b", "*")
	p.Delegate("b", "a", "*")
	p.Put("b", "x", "one")
	p.Publish("targets", "a", "b")
	v := newVictim(t, p)
	v.accepts(p)
	v.says("x", "one")
	v.says("y", "")
}

// TestEndlessDelegations asks no more than a limited number of roles for one target.
func TestEndlessDelegations(t *testing.T) {
	p := attack.New(day0)
	parent := "targets"
	for i := range client.MaxDelegations + 10 {
		role := fmt.Sprintf("r%d", i)
		p.Delegate(parent, role, "*")
		parent = role
	}
	var all []string
	for role := range p.Roles {
		all = append(all, role)
	}
	p.Publish(all...)
	v := newVictim(t, p)
	v.accepts(p)
	p.Requests()
	v.says("x", "")
	if n := len(p.Requests()); n > client.MaxDelegations+1 {
		t.Errorf("%d roles asked", n)
	}
}
