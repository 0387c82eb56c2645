package repository

import (
	"context"
	"slices"
	"testing"

	"overland/internal/errs"
	"overland/internal/trust"
)

// The role with which one signer returns a channel is there when the channel asks for several, and its
// signers are the channel's, whatever becomes of those.
func TestTheFallbackRoleIsKeptInStep(t *testing.T) {
	ctx := context.Background()
	s := newSite(t, InitOptions{})
	same := func(want bool) {
		t.Helper()
		now := s.state()
		ids, threshold := now.signersOf("fallback/live")
		if (threshold == 1) != want {
			t.Fatalf("fallback/live needs %d signatures", threshold)
		}
		if channel, _ := now.signersOf("channel/live"); want && !slices.Equal(ids, channel) {
			t.Errorf("fallback/live is signed by %v, channel/live by %v", ids, channel)
		}
	}
	back := put("fallback/live/wallet", "r1")
	if err := s.SetTargets(ctx, "channel/live", put("channel/live/wallet", "r2")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetTargets(ctx, "fallback/live", back); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Fatalf("a return of a channel that one signature moves: %v", err)
	}
	ann, ben, cem := s.newKey("ann"), s.newKey("ben"), s.newKey("cem")
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step(s.AddSigner(ctx, "channel/live", ann, 0))
	same(false)
	step(s.AddSigner(ctx, "channel/live", ben, 2))
	same(true)
	step(s.AddSigner(ctx, "channel/live", cem, 0))
	same(true)
	if err := s.AddSigner(ctx, "fallback/live", s.newKey("eve"), 0); errs.KindOf(err) != errs.Invalid || errs.HintOf(err) == "" {
		t.Errorf("a signer of the fallback alone: %v", err)
	}
	// One signs, and it is published; who does not sign for the channel signs in vain.
	office := s.machine("targets", "online")
	if err := office.SetTargets(ctx, "fallback/live", back); errs.KindOf(err) != errs.Partial {
		t.Errorf("without a signer's key: %v", err)
	}
	if n := len(s.state().Targets("fallback/live")); n != 0 {
		t.Fatal("it was published")
	}
	step(s.machine("ann", "online").Sign(ctx, "fallback/live"))
	if by := s.state().SignedBy("fallback/live"); !slices.Equal(by, []string{ann.ID}) {
		t.Errorf("signed by %v, want ann %s", by, ann.ID)
	}
	// Whose key goes: what she signed is signed anew by those who stay.
	step(s.RemoveSigner(ctx, "channel/live", ann.ID, 0))
	same(true)
	if by := s.state().SignedBy("fallback/live"); len(by) == 0 || slices.Contains(by, ann.ID) {
		t.Errorf("signed by %v", by)
	}
	_, err := s.RotateKey(ctx, "ben", nil)
	step(err)
	same(true)
	step(s.RemoveSigner(ctx, "channel/live", cem.ID, 1))
	same(true)
	if d := trust.Delegation(s.state().top(), "fallback/live"); len(d.Paths) != 1 || d.Paths[0] != "fallback/live/*" || !d.Terminating {
		t.Errorf("delegated as %+v", d)
	}
}
