package repository_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/trust/repository"
	"overland/internal/trust/trusttest"
)

// rewrite puts a file in the place of the staged change of channel/live, as whoever can write there can.
func rewrite(t *testing.T, files repository.Files, change func(m map[string]any)) {
	t.Helper()
	names, rev, err := files.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, repository.StagedDir) {
			continue
		}
		b, err := files.Read(t.Context(), name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		if b, err = json.Marshal(m); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Commit(t.Context(), rev, []repository.Change{{Name: name, Data: b}}); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("nothing is staged")
}

// TestS10AFileOfSomebodyWithoutAKey is put where changes wait: it is not offered, nobody's key signs it, and it
// is named.
func TestS10AFileOfSomebodyWithoutAKey(t *testing.T) {
	for name, change := range map[string]func(m map[string]any){
		"no signatures":   func(m map[string]any) { m["signatures"] = []any{} },
		"expires in 2099": func(m map[string]any) { m["signed"].(map[string]any)["expires"] = "2099-01-01T00:00:00Z" },
		"another's words": func(m map[string]any) { m["signed"].(map[string]any)["x"] = "y" },
		"the signature of nobody": func(m map[string]any) {
			m["signatures"].([]any)[0].(map[string]any)["keyid"] = strings.Repeat("ab", 32)
		},
		"a signature of something": func(m map[string]any) { m["signatures"].([]any)[0].(map[string]any)["sig"] = strings.Repeat("ab", 64) },
	} {
		files := trusttest.NewMemory()
		a := newApprovalIn(t, files)
		rewrite(t, files, change)
		now, err := a.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if list, err := now.Staged(); err != nil || len(list) != 0 {
			t.Errorf("%s: offered: %+v, %v", name, list, err)
		}
		if r := now.Rejected(); len(r) != 1 || r[0].Role != "channel/live" || r[0].Why == "" {
			t.Errorf("%s: %+v; want it named", name, r)
		}
		if err := a.Sign(t.Context(), "channel/live", a.ben); errs.KindOf(err) != errs.Denied || !strings.Contains(errs.HintOf(err), "unstage") {
			t.Errorf("%s: signed: %v", name, err)
		}
		if err := a.Unstage(t.Context(), "channel/live"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestS10AnotherChangeThanWasShown is signed by nobody who says what he was shown.
func TestS10AnotherChangeThanWasShown(t *testing.T) {
	a := newApproval(t)
	shown := a.staged(t)
	if shown.Digest != digest.Of(shown.Payload) {
		t.Errorf("digest %s of another payload", shown.Digest)
	}
	waiting(t, a.SetTargets(t.Context(), "channel/live", target("channel/live/evil")))
	if err := a.SignExactly(t.Context(), "channel/live", shown.Digest, a.ann); errs.KindOf(err) != errs.Conflict {
		t.Errorf("signed what was not shown: %v", err)
	}
	if st := a.staged(t); st.Have != 0 {
		t.Errorf("%+v", st)
	}
	waiting(t, a.SignExactly(t.Context(), "channel/live", a.staged(t).Digest, a.ann))
}

// A change is described by what it changes: targets, expiry, and who may sign.
func TestWhatAStagedChangeSays(t *testing.T) {
	a := newApproval(t)
	st := a.staged(t)
	if len(st.Before) != 0 || len(st.After) != 1 || !st.Was.IsZero() || st.Expires.Sub(st.SignedAt) != 365*24*time.Hour || len(st.Proposed) != 1 {
		t.Errorf("%+v", st)
	}
	r := memory(t, trusttest.NewMemory(), trusttest.NewMemoryKeys(), repository.InitOptions{})
	waiting(t, r.AddSigner(t.Context(), "root", a.ann.Public(), 2))
	now, err := r.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list, err := now.Staged()
	if err != nil || len(list) != 1 || len(list[0].Grants) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	g := list[0].Grants[0]
	if g.Role != "root" || len(g.Before.Keys) != 1 || len(g.After.Keys) != 2 || g.Before.Threshold != 1 || g.After.Threshold != 2 {
		t.Errorf("%+v", g)
	}
}

// TestS10TheWaitingRollbackBlocksTheHotfix: a newer change takes the place of the one that waits.
func TestS10TheWaitingRollbackBlocksTheHotfix(t *testing.T) {
	a := newApproval(t)
	waiting(t, a.Sign(t.Context(), "channel/live", a.ann))
	waiting(t, a.SetTargets(t.Context(), "channel/live", target("channel/live/hotfix")))
	st := a.staged(t)
	if _, ok := st.After["channel/live/hotfix"]; !ok || st.Have != 0 {
		t.Fatalf("%+v", st)
	}
	waiting(t, a.Sign(t.Context(), "channel/live", a.ann))
	if err := a.Sign(t.Context(), "channel/live", a.ben); err != nil {
		t.Fatal(err)
	}
	now, err := a.Read(t.Context())
	if _, ok := now.Targets("channel/live")["channel/live/hotfix"]; err != nil || !ok {
		t.Errorf("%v", err)
	}
	b, err := now.Metadata(t.Context(), "1.channel%2Flive.json", 1<<20)
	if err != nil || strings.Count(string(b), `"keyid"`) != 2 {
		t.Errorf("published with the proposer's signature: %s, %v", b, err)
	}
}

// TestS10TheMachineCountsAsAPerson: a channel that is given a threshold of two, with the machine's own key among its
// signers, is left to people.
func TestS10TheMachineCountsAsAPerson(t *testing.T) {
	k := trusttest.NewMemoryKeys()
	r := memory(t, trusttest.NewMemory(), k, repository.InitOptions{})
	if err := r.SetTargets(t.Context(), "channel/live", target("channel/live/wallet")); err != nil { // signed by promote
		t.Fatal(err)
	}
	for i, name := range []string{"alice", "bob"} {
		pub, err := k.New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.AddSigner(t.Context(), "channel/live", pub, i+1); err != nil {
			t.Fatal(err)
		}
	}
	info, err := r.Show(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live := info.Roles[slices.IndexFunc(info.Roles, func(r repository.RoleInfo) bool { return r.Role == "channel/live" })]
	var names []string
	for _, key := range live.Keys {
		names = append(names, key.Name)
	}
	slices.Sort(names)
	if want := []string{"alice", "bob"}; !slices.Equal(names, want) || live.Threshold != 2 {
		t.Errorf("%d of %q; want 2 of %q", live.Threshold, names, want)
	}
}
