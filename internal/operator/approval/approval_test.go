package approval_test

import (
	"context"
	"encoding/json"
	"testing"

	"overland/internal/digest"
	"overland/internal/operator/approval"
	"overland/internal/trust"
	"overland/internal/trust/repository"
	"overland/internal/trust/trusttest"
)

// says is one target of role, in the words of a channel.
func says(path, blob string, custom map[string]any) func(trust.Signed, map[string]trust.TargetFile) error {
	return func(_ trust.Signed, t map[string]trust.TargetFile) error {
		b, err := json.Marshal(custom)
		t[path] = trust.TargetFile{Digest: digest.Of([]byte(blob)), Size: 1, Custom: b}
		return err
	}
}

// onLive signs two releases of wallet, the blobs old and new, and lets the channel live run the first.
func onLive(ctx context.Context, r *repository.Repository, old, next string) error {
	for v, blob := range map[string]string{old: "old", next: "new"} {
		if err := r.SetTargets(ctx, "app/wallet", says("app/wallet/"+v, blob, map[string]any{})); err != nil {
			return err
		}
	}
	return r.SetTargets(ctx, "channel/live", says("channel/live/wallet", "old", map[string]any{"version": old}))
}

// TestS10SignersSignBlind: what waits is told by release, version, digest, commits, expiry and signers.
func TestS10SignersSignBlind(t *testing.T) {
	k := trusttest.NewMemoryKeys()
	r, err := repository.Init(t.Context(), trusttest.NewMemory(), k, repository.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(onLive(t.Context(), r, "r412.aaaaaaaaaaaa", "r415.bbbbbbbbbbbb"))
	people := trusttest.NewMemoryKeys()
	ann, err := people.New("ann", nil)
	must(err)
	ben, err := people.New("ben", nil)
	must(err)
	must(r.AddSigner(t.Context(), "channel/live", ann, 0))
	if err := r.AddSigner(t.Context(), "channel/live", ben, 2); err == nil {
		t.Fatal("published without the signatures of ann and ben")
	}
	known := []trust.KeyInfo{{Name: "ann", ID: ann.ID}, {Name: "ben", ID: ben.ID}}
	describe := func() map[string]approval.Change {
		t.Helper()
		now, err := r.Read(t.Context())
		must(err)
		list, err := approval.Describe(now, known)
		must(err)
		out := map[string]approval.Change{}
		for _, c := range list {
			out[c.Role] = c
		}
		return out
	}
	got := describe()
	if s := got["channel/live"]; s.Want != 2 || len(s.MaySign) != 2 || len(s.Releases) != 0 {
		t.Errorf("%+v", s)
	}
	if err := r.With(people).Sign(t.Context(), "channel/live"); err == nil {
		t.Fatal("published without the online key")
	}
	must(r.Refresh(t.Context()))
	for blob, unsigned := range map[string]bool{"new": false, "evil": true} {
		err := r.SetTargets(t.Context(), "channel/live", says("channel/live/wallet", blob, map[string]any{"version": "r415.bbbbbbbbbbbb", "from": "staging"}))
		if err == nil {
			t.Fatal("published by nobody")
		}
		c := describe()["channel/live"]
		if len(c.Releases) != 1 || c.Have != 0 || c.Want != 2 || len(c.ProposedBy) != 1 || c.Expired.IsZero() || c.Expires.Before(c.SignedAt) {
			t.Fatalf("%+v", c)
		}
		x := c.Releases[0]
		if x.App != "wallet" || x.Before != "r412.aaaaaaaaaaaa" || x.After != "r415.bbbbbbbbbbbb" || x.Commits == nil || *x.Commits != 3 ||
			x.From != "staging" || x.Digest != digest.Of([]byte(blob)) || x.DigestWas != digest.Of([]byte("old")) || x.Unsigned != unsigned {
			t.Errorf("%+v", x)
		}
	}
	// Who may sign for root changes: named, with both thresholds.
	if err := r.AddSigner(t.Context(), "root", ann, 2); err == nil {
		t.Fatal("root changed without ann")
	}
	c := describe()["root"]
	if len(c.Signers) != 1 || c.Signers[0].Added[0] != "ann" || c.Signers[0].Threshold != 2 || c.Signers[0].ThresholdWas != 1 || len(c.Signers[0].Removed) != 0 {
		t.Errorf("%+v", c)
	}
}

// A promotion may name a version as its fallback with the digest of something else: whoever signs is
// told that nobody could return to it, and not at night, when one does.
func TestS10AFallbackThatIsNoRelease(t *testing.T) {
	r, err := repository.Init(t.Context(), trusttest.NewMemory(), trusttest.NewMemoryKeys(), repository.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(onLive(t.Context(), r, "r1.aaaaaaaaaaaa", "r2.bbbbbbbbbbbb"))
	people := trusttest.NewMemoryKeys()
	for i, name := range []string{"ann", "ben"} {
		key, err := people.New(name, nil)
		must(err)
		if err := r.AddSigner(t.Context(), "channel/live", key, 2*i); (err == nil) != (i == 0) {
			t.Fatal(err)
		}
	}
	if err := r.With(people).Sign(t.Context(), "channel/live"); err == nil {
		t.Fatal("published without the online key")
	}
	must(r.Refresh(t.Context()))
	for blob, wrong := range map[string]bool{"old": false, "evil": true} {
		fallback := map[string]any{"version": "r1.aaaaaaaaaaaa", "digest": digest.Of([]byte(blob)), "size": 1}
		custom := map[string]any{"version": "r2.bbbbbbbbbbbb", "promotion": 9, "fallback": fallback}
		if err := r.SetTargets(t.Context(), "channel/live", says("channel/live/wallet", "new", custom)); err == nil {
			t.Fatal("published by nobody")
		}
		now, err := r.Read(t.Context())
		must(err)
		list, err := approval.Describe(now, nil)
		must(err)
		if len(list) != 1 || len(list[0].Releases) != 1 || list[0].Releases[0].Fallback == "" || list[0].Releases[0].NoFallback != wrong {
			t.Errorf("fallback %s: %+v", blob, list)
		}
	}
}

// What goes is told as what comes is: a release that is withdrawn, and one that is put back.
func TestS10WhatGoesIsTold(t *testing.T) {
	r, err := repository.Init(t.Context(), trusttest.NewMemory(), trusttest.NewMemoryKeys(), repository.InitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	people := trusttest.NewMemoryKeys()
	ann, err := people.New("ann", nil)
	must(err)
	const old, current = "r412.aaaaaaaaaaaa", "r415.bbbbbbbbbbbb"
	for _, v := range []string{old, current} {
		must(r.SetTargets(t.Context(), "app/wallet", says("app/wallet/"+v, v, map[string]any{"repository": "f1f1"})))
	}
	must(r.SetTargets(t.Context(), "channel/live", says("channel/live/wallet", current, map[string]any{"version": current})))
	waits := func(err error) {
		t.Helper()
		if err == nil {
			t.Fatal("published without ann")
		}
	}
	for _, role := range []string{"app/wallet", "channel/live"} {
		must(r.AddSigner(t.Context(), role, ann, 0))
	}
	ben, err := people.New("ben", nil)
	must(err)
	waits(r.AddSigner(t.Context(), "channel/live", ben, 2))
	_ = r.With(people).Sign(t.Context(), "channel/live") // the online key is missing
	must(r.Refresh(t.Context()))
	waits(r.AddSigner(t.Context(), "app/wallet", ann, 2))
	_ = r.With(people).Sign(t.Context(), "app/wallet")
	must(r.Refresh(t.Context()))
	waits(r.SetTargets(t.Context(), "app/wallet", func(_ trust.Signed, m map[string]trust.TargetFile) error {
		delete(m, "app/wallet/"+old)
		return nil
	}))
	waits(r.SetTargets(t.Context(), "channel/live", says("channel/live/wallet", old, map[string]any{"version": old, "rollback": true})))

	now, err := r.Read(t.Context())
	must(err)
	list, err := approval.Describe(now, nil)
	must(err)
	got := map[string]approval.Change{}
	for _, c := range list {
		got[c.Role] = c
	}
	if x := got["app/wallet"].Releases; len(x) != 1 || x[0].App != "wallet" || x[0].Before != old || x[0].After != "" || x[0].Digest != "" {
		t.Errorf("a release that goes: %+v", x)
	}
	if x := got["channel/live"].Releases; len(x) != 1 || !x[0].Rollback || x[0].Commits == nil || *x[0].Commits != -3 {
		t.Errorf("a rollback: %+v", x)
	}
}
