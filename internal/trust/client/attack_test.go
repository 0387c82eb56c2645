package client_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// victim is a node that trusts a publisher, and its clock.
type victim struct {
	*client.Client
	t     *testing.T
	dir   string
	now   time.Time
	build time.Time
}

func newVictim(t *testing.T, p *attack.Publisher) *victim {
	t.Helper()
	v := &victim{t: t, dir: filepath.Join(t.TempDir(), "trust"), now: p.Now}
	v.reopen()
	root, err := p.Metadata(context.Background(), "1.root.json", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.PinRoot(context.Background(), root); err != nil {
		t.Fatal(err)
	}
	return v
}

// reopen is a restart of the node.
func (v *victim) reopen() {
	v.t.Helper()
	c, err := client.Open(v.dir, client.Options{BuildTime: v.build, Clock: func() time.Time { return v.now }})
	if err != nil {
		v.t.Fatal(err)
	}
	v.Client = c
}

// accepts refreshes, which must succeed.
func (v *victim) accepts(p trust.MetadataSource, o ...client.RefreshOptions) client.Freshness {
	v.t.Helper()
	f, err := v.Refresh(context.Background(), p, append(o, client.RefreshOptions{})[0])
	if err != nil {
		v.t.Fatalf("refused what is right: %v", err)
	}
	return f
}

// refuses refreshes, which must fail with want, as untrusted, and leave nothing to act on.
func (v *victim) refuses(p trust.MetadataSource, want error, o ...client.RefreshOptions) error {
	v.t.Helper()
	_, err := v.Refresh(context.Background(), p, append(o, client.RefreshOptions{})[0])
	if !errors.Is(err, want) {
		v.t.Fatalf("got error %v, want %v", err, want)
	}
	if k := errs.KindOf(err); k != errs.Untrusted || k.Exit() != 4 {
		v.t.Fatalf("kind %v of %v, want untrusted with exit code 4", k, err)
	}
	if _, err := v.Target(context.Background(), "a"); errs.KindOf(err) != errs.Unavailable {
		v.t.Fatalf("a target after a refused refresh: %v", err)
	}
	return err
}

// says is what the node must find at path; "" for nothing.
func (v *victim) says(path, content string) {
	v.t.Helper()
	got, err := v.Target(context.Background(), path)
	if content == "" {
		if errs.KindOf(err) != errs.NotFound {
			v.t.Fatalf("target %s: %+v, %v; want none", path, got, err)
		}
		return
	}
	if err != nil || got.Digest != digest.Of([]byte(content)) || got.Size != int64(len(content)) {
		v.t.Fatalf("target %s: %+v, %v; want that of %q", path, got, err, content)
	}
}

func TestRollbackOfTimestamp(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	old := p.Files()
	p.PublishTimestamp()
	v.accepts(p)
	p.SetFiles(old)
	v.refuses(p, trust.ErrRollback)
	v.reopen()
	v.refuses(p, trust.ErrRollback)
	v.tear("timestamp.json") // only what was seen still knows
	v.refuses(p, trust.ErrRollback)
}

func TestRollbackOfSnapshot(t *testing.T) {
	for _, torn := range []bool{false, true} {
		p := attack.New(day0)
		v := newVictim(t, p)
		p.Publish()
		v.accepts(p)
		if torn {
			v.tear("timestamp.json", "snapshot.json")
		}
		p.Snapshot.Signed.Version = 0
		p.Publish()
		v.refuses(p, trust.ErrRollback)
	}
}

func TestRollbackOfTargets(t *testing.T) {
	for _, torn := range []bool{false, true} {
		p := attack.New(day0)
		v := newVictim(t, p)
		p.Publish("targets")
		v.accepts(p)
		if torn {
			v.tear("timestamp.json", "snapshot.json", "targets.json")
		}
		p.Roles["targets"].Signed.Version = 0
		p.Publish("targets")
		v.refuses(p, trust.ErrRollback)
	}
}

func TestRollbackOfDelegatedRole(t *testing.T) {
	for _, torn := range []bool{false, true} {
		p := attack.New(day0)
		p.Delegate("targets", "app/wallet", "app/wallet/*")
		p.Put("app/wallet", "app/wallet/r1", "old")
		p.Publish("targets", "app/wallet")
		p.Publish("app/wallet")
		v := newVictim(t, p)
		v.accepts(p)
		v.says("app/wallet/r1", "old")
		if torn {
			v.tear("timestamp.json", "snapshot.json", "roles/app%2Fwallet.json")
		}
		p.Roles["app/wallet"].Signed.Version = 0
		p.Publish("app/wallet")
		v.refuses(p, trust.ErrRollback)
	}
}

func TestRollbackOfRoot(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	first := p.Files()
	p.PublishRoot()
	v.accepts(p)

	t.Run("an old root under the next name", func(t *testing.T) {
		p.SetFile("3.root.json", first["1.root.json"])
		v.refuses(p, trust.ErrRollback)
		p.SetFile("3.root.json", nil)
	})
	t.Run("the chain ends before the root that was verified", func(t *testing.T) {
		v.tear("2.root.json")
		whole := p.Files()
		p.SetFile("2.root.json", nil)
		v.refuses(p, trust.ErrRollback)
		p.SetFiles(whole)
		v.accepts(p)
	})
}

func TestRoleRemovedFromSnapshot(t *testing.T) {
	for _, torn := range []bool{false, true} {
		p := attack.New(day0)
		p.Delegate("targets", "app/wallet", "app/wallet/*")
		p.Publish("targets", "app/wallet")
		v := newVictim(t, p)
		v.accepts(p)
		if torn {
			v.tear("timestamp.json", "snapshot.json")
		}
		delete(p.Snapshot.Signed.Meta, "app/wallet.json")
		p.Publish()
		v.refuses(p, trust.ErrMismatch)
	}
}

func TestTimestampOfSameVersionWithOtherContent(t *testing.T) {
	p := attack.New(day0)
	p.Put("targets", "a", "one")
	p.Publish("targets")
	v := newVictim(t, p)
	v.accepts(p)
	p.Timestamp.Signed.Version--
	p.Put("targets", "a", "two")
	p.Publish("targets")
	v.accepts(p)
	v.says("a", "one")
}

func TestFreeze(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets", "app/wallet"} {
		t.Run(role, func(t *testing.T) {
			p := attack.New(day0)
			p.Delegate("targets", "app/wallet", "app/wallet/*")
			p.Put("app/wallet", "app/wallet/r1", "one")
			p.Publish("targets", "app/wallet")
			v := newVictim(t, p)
			v.accepts(p)
			v.says("app/wallet/r1", "one")
			// Everything but role is signed anew; its last version has just expired.
			p.Now = p.Now.Add(p.Lifetime + time.Hour)
			v.now = p.Now
			p.Hashes = false
			resign(p, role)
			if role != "app/wallet" {
				v.refuses(p, trust.ErrExpired)
				return
			}
			v.accepts(p)
			if _, err := v.Target(context.Background(), "app/wallet/r1"); !errors.Is(err, trust.ErrExpired) || errs.KindOf(err) != errs.Untrusted {
				t.Fatalf("expired role: %v", err)
			}
			if _, err := v.Targets(context.Background(), "app/wallet"); !errors.Is(err, trust.ErrExpired) {
				t.Fatalf("expired role: %v", err)
			}
		})
	}
}

// resign publishes every role anew, but except as if it had expired.
func resign(p *attack.Publisher, except string) {
	life := func(role string) {
		p.Lifetime = 30 * 24 * time.Hour
		if role == except {
			p.Lifetime = -time.Minute
		}
	}
	stamp := p.NoStamp
	p.NoStamp = true
	life("root")
	p.PublishRoot()
	for _, role := range []string{"targets", "app/wallet"} {
		life(role)
		p.Publish(role)
	}
	life("snapshot")
	p.PublishSnapshot()
	life("timestamp")
	p.PublishTimestamp()
	p.NoStamp = stamp
}

func TestIndefiniteFreezeWithClockAt1970(t *testing.T) {
	t.Run("what was built later shows that it is later", func(t *testing.T) {
		p := attack.New(day0)
		v := newVictim(t, p)
		v.now, v.build = time.Unix(0, 0), day0.Add(p.Lifetime+time.Hour)
		v.reopen()
		v.refuses(p, trust.ErrExpired)
	})
	t.Run("what was signed later shows that it is later", func(t *testing.T) {
		p := attack.New(day0)
		v := newVictim(t, p)
		v.now = time.Unix(0, 0)
		v.accepts(p)
		p.Now = p.Now.Add(p.Lifetime + time.Hour)
		p.PublishTimestamp()
		// The timestamp is new, and proves that snapshot and root have expired.
		v.refuses(p, trust.ErrExpired)
	})
	t.Run("the clock of the last success is remembered over a restart", func(t *testing.T) {
		p := attack.New(day0)
		v := newVictim(t, p)
		v.now = day0.Add(29 * 24 * time.Hour)
		v.accepts(p)
		p.Lifetime = 28 * 24 * time.Hour // expires before the node's last success
		p.PublishTimestamp()
		v.now = time.Unix(0, 0)
		v.reopen()
		v.refuses(p, trust.ErrExpired)
	})
}

func TestClockAt2100(t *testing.T) {
	p := attack.New(day0)
	v := newVictim(t, p)
	v.accepts(p)
	v.now = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	err := v.refuses(p, trust.ErrExpired)
	if hint := errs.HintOf(err); hint == "" {
		t.Error("no hint that the clock is wrong")
	}
	// Once the clock is set, the node goes on: a wrong clock was not written down.
	v.now = day0.Add(time.Hour)
	v.reopen()
	v.accepts(p)
}

func TestFastForward(t *testing.T) {
	p := attack.New(day0)
	p.Put("targets", "a", "one")
	p.Publish("targets")
	v := newVictim(t, p)
	v.accepts(p)
	honest := p.Files()
	ts, sn, tg := p.Timestamp.Signed.Version, p.Snapshot.Signed.Version, p.Roles["targets"].Signed.Version

	// Whoever stole the online keys signs the highest versions and a time far ahead.
	const high = 1 << 62
	p.Timestamp.Signed.Version, p.Snapshot.Signed.Version, p.Roles["targets"].Signed.Version = high, high, high
	p.Now, p.Lifetime = day0.AddDate(80, 0, 0), 30*24*time.Hour
	p.PublishRoot()
	p.Publish("targets")
	v.refuses(p, trust.ErrLifetime) // a machine that knows the time
	v.now = time.Unix(0, 0)
	v.accepts(p)

	// The operator replaces the keys and goes on from the last honest versions.
	p.SetFile("timestamp.json", honest["timestamp.json"])
	p.Now = day0.Add(time.Hour)
	p.Timestamp.Signed.Version, p.Snapshot.Signed.Version, p.Roles["targets"].Signed.Version = ts, sn, tg
	p.Put("targets", "a", "two")
	for _, role := range []string{"timestamp", "snapshot"} {
		p.Replace(role, attack.NewKey())
	}
	p.PublishRoot()
	p.Publish("targets")
	v.reopen()
	v.now = p.Now
	v.accepts(p)
	v.says("a", "two")
}

func TestMixAndMatch(t *testing.T) {
	p := attack.New(day0)
	p.Delegate("targets", "app/wallet", "app/wallet/*")
	p.Put("app/wallet", "app/wallet/r1", "one")
	p.Publish("targets", "app/wallet")
	old := p.Files()
	p.Put("app/wallet", "app/wallet/r1", "two")
	p.Publish("targets", "app/wallet")
	for _, hashes := range []bool{true, false} {
		p.Hashes = hashes
		for name, with := range map[string]string{
			"3.snapshot.json": "2.snapshot.json", "3.targets.json": "2.targets.json",
		} {
			p.Publish("targets", "app/wallet")
			v := newVictim(t, p)
			whole := p.Files()
			current := map[string]string{
				"3.snapshot.json": trust.WireName("snapshot", p.Snapshot.Signed.Version),
				"3.targets.json":  trust.WireName("targets", p.Roles["targets"].Signed.Version),
			}[name]
			p.SetFile(current, old[with])
			_, err := v.Refresh(context.Background(), p, client.RefreshOptions{})
			if errs.KindOf(err) != errs.Untrusted {
				t.Errorf("%s in place of %s: %v", with, current, err)
			}
			p.SetFiles(whole)
			v.accepts(p)
			v.says("app/wallet/r1", "two")
		}
		v := newVictim(t, p)
		p.SetFile(trust.WireName("app/wallet", p.Roles["app/wallet"].Signed.Version), old["1.app%2Fwallet.json"])
		v.accepts(p)
		if _, err := v.Target(context.Background(), "app/wallet/r1"); errs.KindOf(err) != errs.Untrusted {
			t.Errorf("an old delegated role in place of the new one: %v", err)
		}
		p.Publish("app/wallet")
	}
}
