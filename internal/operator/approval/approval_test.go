package approval_test

import (
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
	for v, blob := range map[string]string{"r412.aaaaaaaaaaaa": "old", "r415.bbbbbbbbbbbb": "new"} {
		must(r.SetTargets(t.Context(), "app/wallet", says("app/wallet/"+v, blob, map[string]any{})))
	}
	must(r.SetTargets(t.Context(), "channel/live", says("channel/live/wallet", "old", map[string]any{"version": "r412.aaaaaaaaaaaa"})))
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
