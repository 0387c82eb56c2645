package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// edit changes the JSON of a published file, as whoever carries it can.
func edit(t *testing.T, p *attack.Publisher, name string, change func(m map[string]any)) {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(p.Files()[name], &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	change(m)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	p.SetFile(name, b)
}

func TestUnsignedMetadata(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			p := attack.New(day0)
			p.Hashes = false
			v := newVictim(t, p)
			p.Signers[role] = nil
			p.PublishRoot()
			p.Publish("targets")
			v.refuses(p, trust.ErrSignature)
		})
	}
}

func TestContentChangedUnderItsSignature(t *testing.T) {
	for _, name := range []string{"2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"} {
		t.Run(name, func(t *testing.T) {
			p := attack.New(day0)
			p.Hashes = false
			v := newVictim(t, p)
			p.PublishRoot()
			p.Publish("targets")
			edit(t, p, name, func(m map[string]any) { m["signed"].(map[string]any)["x"] = "y" })
			v.refuses(p, trust.ErrSignature)
		})
	}
}

func TestTooFewSignatures(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			p := attack.New(day0)
			p.Hashes = false
			p.AddKey(role, attack.NewKey())
			p.AddKey(role, attack.NewKey())
			p.Root.Signed.Roles[role].Threshold = 2
			p.PublishRoot()
			p.Publish("targets")
			v := newVictim(t, p)
			v.accepts(p)
			p.Signers[role] = p.Signers[role][:1]
			p.PublishRoot()
			p.Publish("targets")
			v.refuses(p, trust.ErrSignature)
		})
	}
}

func TestSignatureOfOneKeyCountedTwice(t *testing.T) {
	p := attack.New(day0)
	p.Hashes = false
	p.AddKey("snapshot", attack.NewKey())
	p.Root.Signed.Roles["snapshot"].Threshold = 2
	p.PublishRoot()
	p.Signers["snapshot"] = p.Signers["snapshot"][:1]
	p.Publish("targets")
	v := newVictim(t, p)
	t.Run("the signature twice", func(t *testing.T) {
		edit(t, p, "2.snapshot.json", func(m map[string]any) {
			sigs := m["signatures"].([]any)
			m["signatures"] = append(sigs, sigs[0])
		})
		v.refuses(p, trust.ErrMismatch)
	})
	t.Run("the key under two names", func(t *testing.T) {
		k := p.Signers["snapshot"][0]
		again := k
		again.ID = strings.Repeat("ab", 32)
		again.Public = &metadata.Key{Type: k.Public.Type, Scheme: k.Public.Scheme, Value: k.Public.Value}
		p.AddKey("snapshot", again)
		p.PublishRoot()
		p.Publish("targets")
		v.refuses(p, trust.ErrSignature)
	})
}

func TestRevokedKeyStillUsed(t *testing.T) {
	for _, role := range []string{"timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			p := attack.New(day0)
			p.Hashes = false
			v := newVictim(t, p)
			v.accepts(p)
			revoked := p.Replace(role, attack.NewKey())
			p.PublishRoot()
			p.Publish("targets")
			v.accepts(p)
			p.Signers[role] = revoked
			p.Publish("targets")
			v.refuses(p, trust.ErrSignature)
		})
	}
	t.Run("root", func(t *testing.T) {
		p := attack.New(day0)
		v := newVictim(t, p)
		old := p.Replace("root", attack.NewKey())
		fresh := p.Signers["root"]
		p.Signers["root"] = append(old, fresh...)
		p.PublishRoot()
		v.accepts(p)
		p.Signers["root"] = old
		p.PublishRoot()
		v.refuses(p, trust.ErrSignature)
	})
	t.Run("app/wallet", func(t *testing.T) {
		p := attack.New(day0)
		stolen := p.Delegate("targets", "app/wallet", "app/wallet/*")
		p.Put("app/wallet", "app/wallet/r1", "one")
		p.Publish("targets", "app/wallet")
		v := newVictim(t, p)
		v.accepts(p)
		v.says("app/wallet/r1", "one")
		p.Roles["targets"].Signed.Delegations.Roles = nil
		p.Signers["app/wallet"] = nil
		p.Delegate("targets", "app/wallet", "app/wallet/*")
		p.Signers["app/wallet"] = []attack.Key{stolen}
		p.Publish("targets", "app/wallet")
		v.accepts(p)
		if _, err := v.Target(context.Background(), "app/wallet/r1"); !errors.Is(err, trust.ErrSignature) || errs.KindOf(err) != errs.Untrusted {
			t.Fatalf("signed with a revoked key: %v", err)
		}
	})
}

func TestRotatedRootWithoutOldSignature(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	v.accepts(p)
	p.Replace("root", attack.NewKey())
	p.PublishRoot()
	v.refuses(p, trust.ErrSignature)
}

func TestRotatedRootWithoutNewSignature(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	p.Signers["root"] = p.Replace("root", attack.NewKey())
	p.PublishRoot()
	v.refuses(p, trust.ErrSignature)
}

func TestRootRotationSurvivesRestart(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	for range 5 {
		old := p.Replace("root", attack.NewKey())
		fresh := p.Signers["root"]
		p.Signers["root"] = append(old, fresh...)
		p.PublishRoot()
		p.Signers["root"] = fresh
		v.accepts(p)
		v.reopen()
	}
	p.Requests()
	v.accepts(p)
	if asked := p.Requests(); asked[0] != "7.root.json" {
		t.Errorf("asked for %v first: the verified roots were forgotten", asked)
	}
	// Even a node that lost every root but the pinned one comes back through the chain.
	v.tear("2.root.json", "3.root.json", "6.root.json")
	v.reopen()
	v.accepts(p)
	if got, want := v.Fingerprint(), mustFingerprint(t, p.Files()["1.root.json"]); got != want {
		t.Errorf("pinned %s, want the first root's %s", got, want)
	}
}

func TestEndlessRootRotations(t *testing.T) {
	t.Parallel()
	p := attack.New(day0)
	v := newVictim(t, p)
	for range trust.MaxRoots + 3 {
		p.PublishRoot()
	}
	// No more than a limited number is taken at once; the rest is taken the next time.
	p.Requests()
	v.accepts(p)
	if n := len(p.Requests()); n > trust.MaxRoots+3 {
		t.Errorf("%d files asked for at once", n)
	}
	v.accepts(p)
	if s, err := client.LoadSeen(v.dir); err != nil || s.Root != p.Root.Signed.Version {
		t.Errorf("root %+v, %v; want %d", s, err, p.Root.Signed.Version)
	}
}

func mustFingerprint(t *testing.T, b []byte) trust.Fingerprint {
	t.Helper()
	fp, err := trust.FingerprintOf(b)
	if err != nil {
		t.Fatal(err)
	}
	return fp
}

func TestUnknownRootFingerprint(t *testing.T) {
	p, stranger := attack.New(day0), attack.New(day0)
	c, err := client.Open(t.TempDir(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Pin(context.Background(), stranger, mustFingerprint(t, p.Files()["1.root.json"]))
	if errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
		t.Fatalf("pinned to a stranger: %v", err)
	}
	if c.Pinned() {
		t.Fatal("pinned after a refusal")
	}
}

func TestRootThatDoesNotSignItself(t *testing.T) {
	p := attack.New(day0)
	p.Signers["root"] = nil
	p.Root.Signed.Version = 0
	p.PublishRoot()
	c, err := client.Open(t.TempDir(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = c.Pin(context.Background(), p, mustFingerprint(t, p.Files()["1.root.json"]))
	if !errors.Is(err, trust.ErrSignature) || c.Pinned() {
		t.Fatalf("pinned an unsigned root: %v", err)
	}
}

func TestUnpinnedClient(t *testing.T) {
	p := attack.New(day0)
	c, err := client.Open(t.TempDir(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []client.RefreshOptions{{}, {Offline: true}} {
		_, err := c.Refresh(context.Background(), p, o)
		if !errors.Is(err, trust.ErrNotPinned) || errs.KindOf(err).Exit() != 4 || errs.HintOf(err) == "" {
			t.Fatalf("unpinned: %v", err)
		}
	}
	if p.Requests() != nil {
		t.Error("an unpinned node asked the source for something")
	}
}

func TestSecondPin(t *testing.T) {
	ctx := context.Background()
	p, stranger := attack.New(day0), attack.New(day0)
	v := newVictim(t, p)
	first := v.Fingerprint()
	if err := v.Pin(ctx, stranger, mustFingerprint(t, stranger.Files()["1.root.json"])); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("another operator's root: %v", err)
	}
	if err := v.PinRoot(ctx, stranger.Files()["1.root.json"]); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("another operator's root: %v", err)
	}
	p.PublishRoot()
	if err := v.Pin(ctx, p, mustFingerprint(t, p.Files()["2.root.json"])); err != nil {
		t.Errorf("a root that the pinned one leads to: %v", err)
	}
	if v.Fingerprint() != first {
		t.Error("the pin moved")
	}
}

func TestDelegationEscapingItsPaths(t *testing.T) {
	ctx := context.Background()
	p := attack.New(day0)
	p.Delegate("targets", "app/wallet", "app/wallet/*")
	p.Delegate("targets", "app/other", "app/other/*")
	for _, path := range []string{"app/other/r1", "app/wallet/../other/r1", "app/wallet/a/b", "channel/live/wallet", "app/walletx/r1", "app/wallet"} {
		p.Put("app/wallet", path, "evil")
	}
	p.Put("app/wallet", "app/wallet/r1", "good")
	p.Publish("targets", "app/wallet", "app/other")
	v := newVictim(t, p)
	v.accepts(p)
	v.says("app/wallet/r1", "good")
	for path := range p.Roles["app/wallet"].Signed.Targets {
		if path != "app/wallet/r1" {
			v.says(path, "")
		}
	}
	all, err := v.Targets(ctx, "app/wallet")
	if err != nil || len(all) != 1 {
		t.Fatalf("targets %v, %v; want one", all, err)
	}
	if _, err := v.Targets(ctx, "app/nobody"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a role that nobody made: %v", err)
	}
}

func TestDelegationByHashPrefix(t *testing.T) {
	p := attack.New(day0)
	for i := range 16 {
		role := fmt.Sprintf("bin-%x", i)
		p.Delegate("targets", role)
		roles := p.Roles["targets"].Signed.Delegations.Roles
		roles[i].PathHashPrefixes = []string{fmt.Sprintf("%x", i)}
		p.Put(role, "node/a", "by "+role)
		p.Publish("targets", role)
	}
	v := newVictim(t, p)
	v.accepts(p)
	v.says("node/a", "by bin-0") // sha256("node/a") = 0…
}

func TestRoleNamesWithTrickyCharacters(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"../../escape", "/etc/passwd", "?", "#", "a%2Fb", "..", ".", "a b", "tab\t", "ü", "a\\b", "nul\x00", strings.Repeat("long/", 100)} {
		p := attack.New(day0)
		p.Delegate("targets", role, "*")
		p.Put(role, "a", "one")
		p.Publish("targets", role)
		v := newVictim(t, p)
		v.accepts(p)
		before := tree(t, parent(v.dir))
		v.says("a", "one")
		v.reopen()
		v.accepts(nil)
		v.says("a", "one")
		for path := range tree(t, parent(v.dir)) {
			if !before[path] && !strings.HasPrefix(path, "trust/roles/") {
				t.Errorf("role %q made the file %s", role, path)
			}
		}
	}
	for _, role := range []string{"root", "targets", "snapshot", "timestamp", "", strings.Repeat("x", trust.LongestName+1)} {
		p := attack.New(day0)
		if role == "targets" {
			k := attack.NewKey()
			p.Roles["targets"].Signed.Delegations = &metadata.Delegations{
				Keys:  map[string]*metadata.Key{k.ID: k.Public},
				Roles: []metadata.DelegatedRole{{Name: role, KeyIDs: []string{k.ID}, Threshold: 1, Paths: []string{"*"}}},
			}
		} else {
			p.Delegate("targets", role, "*")
		}
		p.Publish("targets")
		newVictim(t, p).refuses(p, trust.ErrMismatch)
	}
}
