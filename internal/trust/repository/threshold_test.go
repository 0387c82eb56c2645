package repository

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/trust/keys"
)

// machine is another person's machine: the same repository, other keys.
func (s *site) machine(names ...string) *site {
	s.t.Helper()
	dir := filepath.Join(s.t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		for _, ext := range []string{".key", ".pub"} {
			b, err := os.ReadFile(filepath.Join(s.keyDir, name+ext))
			if err != nil {
				s.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name+ext), b, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	keys, err := keys.Open(dir, keys.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := Open(context.Background(), Dir(s.dir, fsx.FS{}), keys, Options{Clock: func() time.Time { return s.now }})
	if err != nil {
		s.t.Fatal(err)
	}
	return &site{Repository: r, keys: keys, keyDir: dir, dir: s.dir, now: s.now, t: s.t}
}

func (s *site) newKey(name string) trust.PublicKey {
	s.t.Helper()
	pub, err := s.keys.New(name, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return pub
}

func TestChannelNeedsTwoOfThreeSigners(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	for _, name := range []string{"ann", "ben", "cem"} {
		if err := s.AddSigner(ctx, "channel/live", s.newKey(name), 0); err != nil {
			t.Fatal(err)
		}
	}
	office := s.machine("targets", "online")
	ann, ben, cem := s.machine("ann"), s.machine("ben"), s.machine("cem")
	pub, err := ann.keys.Public("ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := office.AddSigner(ctx, "channel/live", pub, 2); err != nil {
		t.Fatal(err)
	}
	node := newNode(t, s)
	must := func() map[string]trust.TargetFile {
		t.Helper()
		if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
			t.Fatal(err)
		}
		got, err := node.Targets(ctx, "channel/live")
		if err != nil && errs.KindOf(err) != errs.NotFound {
			t.Fatal(err)
		}
		return got
	}
	partial := func(err error) {
		t.Helper()
		if errs.KindOf(err) != errs.Partial || !errors.Is(err, ErrStaged) || errs.HintOf(err) == "" {
			t.Fatalf("got %v, want: staged", err)
		}
	}
	live := put("channel/live/wallet", "r1")

	partial(ann.SetTargets(ctx, "channel/live", live))
	if n := len(must()); n != 0 {
		t.Fatalf("%d targets after one of two signatures", n)
	}
	// One person is one signature, however often.
	partial(ann.SetTargets(ctx, "channel/live", live))
	partial(ann.Sign(ctx, "channel/live"))
	// Another change takes the place of the one that waited, with its signatures; so does the first one again.
	other := ben.SetTargets(ctx, "channel/live", put("channel/live/wallet", "other"))
	partial(other)
	if !strings.Contains(other.Error(), "takes the place") {
		t.Errorf("%v: does not say that another change gave way", other)
	}
	if info, err := s.Show(ctx); err != nil || len(info.Staged) != 1 || info.Staged[0].Have != 1 || info.Staged[0].After["channel/live/wallet"].Digest == info.Staged[0].Before["channel/live/wallet"].Digest {
		t.Fatalf("staged %+v, %v", info, err)
	}
	partial(ann.SetTargets(ctx, "channel/live", live))
	if err := office.Sign(ctx, "channel/live"); errs.KindOf(err) != errs.Denied {
		t.Fatalf("signed with no signer's key: %v", err)
	}
	info, err := s.Show(ctx)
	if err != nil || len(info.Staged) != 1 || info.Staged[0].Have != 1 || info.Staged[0].Want != 2 {
		t.Fatalf("staged %+v, %v", info, err)
	}
	// Ben has no online key: his signature is kept, and the office publishes.
	partial(ben.Sign(ctx, "channel/live"))
	if n := len(must()); n != 0 {
		t.Fatalf("%d targets before the online machine published", n)
	}
	if err := office.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(must()); n != 1 {
		t.Fatalf("%d targets after two of three signatures", n)
	}
	if info, err = s.Show(ctx); err != nil || len(info.Staged) != 0 {
		t.Fatalf("staged %+v, %v", info, err)
	}
	if err := cem.Sign(ctx, "channel/live"); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("nothing is staged: %v", err)
	}
	partial(cem.SetTargets(ctx, "channel/live", put("channel/live/wallet", "r2")))
	if err := office.Unstage(ctx, "channel/live"); err != nil {
		t.Fatal(err)
	}
	if err := office.Unstage(ctx, "channel/live"); errs.KindOf(err) != errs.NotFound {
		t.Fatal(err)
	}
}

// TestRaisedThresholdWaitsForItsSignatures raises a role's threshold when the other signer is
// elsewhere: nodes keep what they have until both have signed.
func TestRaisedThresholdWaitsForItsSignatures(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	if err := s.SetTargets(ctx, "channel/live", put("channel/live/wallet", "r1")); err != nil {
		t.Fatal(err)
	}
	s.newKey("ben")
	ben := s.machine("ben")
	pub, err := ben.keys.Public("ben")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddSigner(ctx, "channel/live", pub, 2); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Fatalf("the machine's key counted as a person: %v", err)
	}
	if err := s.AddSigner(ctx, "channel/live", s.newKey("ann"), 0); err != nil {
		t.Fatal(err)
	}
	office := s.machine("targets", "online", "promote", "ann")
	if err := office.AddSigner(ctx, "channel/live", pub, 2); errs.KindOf(err) != errs.Partial {
		t.Fatalf("%v", err)
	}
	node := newNode(t, s)
	if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := node.Targets(ctx, "channel/live"); err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if err := ben.Sign(ctx, "channel/live"); errs.KindOf(err) != errs.Partial {
		t.Fatalf("%v", err)
	}
	if err := office.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	info, err := s.Show(ctx)
	if err != nil || len(info.Staged) != 0 {
		t.Fatalf("%+v, %v", info, err)
	}
	for _, r := range info.Roles {
		if r.Role == "channel/live" && (r.Threshold != 2 || len(r.SignedBy) != 2) {
			t.Errorf("%+v", r)
		}
	}
	if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, err := node.Targets(ctx, "channel/live"); err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestRootNeedsTwoOfThreeKeys(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, InitOptions{RootKeys: []string{"root-a", "root-b", "root-c"}, Threshold: 2})
	s.release("wallet", "r1")
	node := newNode(t, s)
	a, b := s.machine("root-a", "targets", "online"), s.machine("root-b", "targets", "online")
	first := s.Fingerprint()
	d := s.newKey("root-d")
	if err := a.AddSigner(ctx, "root", d, 0); errs.KindOf(err) != errs.Partial || errs.HintOf(err) == "" {
		t.Fatalf("%v", err)
	}
	if err := b.AddSigner(ctx, "root", s.newKey("root-e"), 0); errs.KindOf(err) != errs.Conflict {
		t.Fatalf("%v", err)
	}
	if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := b.Sign(ctx, "root"); err != nil {
		t.Fatal(err)
	}
	if err := b.Sign(ctx, "root"); errs.KindOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	if b.Fingerprint() == first {
		t.Error("the fingerprint of the old root")
	}
	// The lost key leaves; now two of b, c, d sign.
	lost, err := s.keys.Public("root-a")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveSigner(ctx, "root", lost.ID, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := s.machine("root-b"); got.Fingerprint() != s.Fingerprint() {
		t.Error("fingerprints differ")
	}
	if err := s.RemoveSigner(ctx, "root", d.ID, 3); errs.KindOf(err) != errs.Invalid {
		t.Errorf("3 of 2 keys: %v", err)
	}
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, name := range []string{KeyRoot, KeyTargets, KeyOnline, KeyRelease, KeyPromote} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, InitOptions{})
			s.release("wallet", "r1")
			if err := s.SetTargets(ctx, "channel/live", put("channel/live/wallet", "r1")); err != nil {
				t.Fatal(err)
			}
			node := newNode(t, s)
			if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
				t.Fatal(err)
			}
			stolen := s.machine(KeyRoot, KeyTargets, KeyOnline, KeyRelease, KeyPromote)
			old, err := s.keys.Public(name)
			if err != nil {
				t.Fatal(err)
			}
			s.now = s.now.Add(time.Hour)
			next, err := s.RotateKey(ctx, name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if next.ID == old.ID {
				t.Fatal("the same key")
			}
			info, err := s.Show(ctx)
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, r := range info.Roles {
				for _, k := range r.Keys {
					if k.ID == old.ID {
						t.Errorf("%s still signs for %s", name, r.Role)
					}
					found = found || (k.ID == next.ID && k.Name == name && k.Private)
				}
			}
			if !found {
				t.Errorf("nobody may sign with the new key: %+v", info)
			}
			aside := filepath.Join(s.keyDir, "retired", name+"-"+old.ID[:16])
			if _, err := os.Stat(aside + ".pub"); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(aside + ".key"); err == nil {
				t.Error("the retired key lies there in the clear")
			}
			for range 2 {
				if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
					t.Fatal(err)
				}
				if _, err := node.Target(ctx, "channel/live/wallet"); err != nil {
					t.Fatal(err)
				}
				s.release("wallet", "r2")
				if err := s.SetTargets(ctx, "channel/live", put("channel/live/wallet", "r2")); err != nil {
					t.Fatal(err)
				}
			}
			// Who took the old keys cannot publish with them.
			err = stolen.SetTargets(ctx, "app/wallet", put("app/wallet/evil", "evil"))
			err = errors.Join(err, stolen.SetTargets(ctx, "channel/live", put("channel/live/wallet", "evil")))
			if err == nil && name != KeyRoot && name != KeyTargets {
				t.Error("published with a key that was rotated away")
			}
		})
	}
}

// TestRotationOfLostKey replaces a key whose private half is gone: root
// alone decides, and nodes follow.
func TestRotationOfLostKey(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, name := range []string{KeyTargets, KeyOnline, KeyRelease} {
		s := newSite(t, InitOptions{})
		s.release("wallet", "r1")
		node := newNode(t, s)
		if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(s.keyDir, name+".key")); err != nil {
			t.Fatal(err)
		}
		// A new process, with nothing in memory.
		keys := openKeys(t, s.keyDir, keys.Options{})
		r, err := Open(context.Background(), Dir(s.dir, fsx.FS{}), keys, Options{Clock: func() time.Time { return s.now }})
		if err != nil {
			t.Fatal(err)
		}
		s.Repository, s.keys = r, keys
		if _, err := s.RotateKey(ctx, name, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.release("wallet", "r2")
		if _, err := node.Refresh(ctx, s, client.RefreshOptions{}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := node.Target(ctx, "app/wallet/r2"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}
