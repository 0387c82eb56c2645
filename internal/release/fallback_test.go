package release_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
)

// say lets role say that path is content, with custom.
func say(p *attack.Publisher, role, path, content, custom string) {
	p.Put(role, role+"/"+path, content)
	raw := json.RawMessage(custom)
	p.Roles[role].Signed.Targets[role+"/"+path].Custom = &raw
}

func named(version, content string) string {
	return fmt.Sprintf(`{"version":%q,"digest":%q,"size":%d}`, version, digest.Of([]byte(content)), len(content))
}

// protected is a publisher whose channel live runs r2 of a, by promotion 5, whose fallback is r1.
func protected(now time.Time) *attack.Publisher {
	p := twoApps(now)
	p.Delegate("targets", "fallback/live", "fallback/live/*")
	p.Put("app/a", "app/a/r2", "a two")
	p.Put("app/a", "app/a/r3", "a three")
	say(p, "channel/live", "a", "a two", `{"version":"r2","promotion":5,"fallback":`+named("r1", "a")+`}`)
	p.Publish("targets", "app/a", "channel/live")
	return p
}

// One signer can return an application to what its promotion names, straight from the operator and
// through a site in between, and to nothing else.
func TestS10OneSignerReachesTheNamedFallbackAlone(t *testing.T) {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const good = `{"version":"r1","promotion":5}`
	back := func(app, content, custom string) func(p *attack.Publisher) {
		return func(p *attack.Publisher) {
			say(p, "fallback/live", app, content, custom)
			p.Publish("fallback/live")
		}
	}
	for name, test := range map[string]struct {
		change func(p *attack.Publisher)
		runs   string // of a
		doubt  error  // fs.ErrInvalid: any
	}{
		"nobody goes back":              {func(*attack.Publisher) {}, "r2", nil},
		"one goes back":                 {back("a", "a", good), "r1", nil},
		"to another digest":             {back("a", "a three", good), "r2", fs.ErrInvalid},
		"forward":                       {back("a", "a three", `{"version":"r3","promotion":5}`), "r2", fs.ErrInvalid},
		"under another version":         {back("a", "a", `{"version":"r3","promotion":5}`), "r2", fs.ErrInvalid},
		"of another application":        {back("b", "a", good), "r2", nil},
		"of an application not there":   {back("c", "a", good), "r2", nil},
		"of an earlier promotion":       {back("a", "a", `{"version":"r1","promotion":4}`), "r2", nil},
		"of a later promotion":          {back("a", "a", `{"version":"r1","promotion":6}`), "r2", nil},
		"of no promotion":               {back("a", "a", `{"version":"r1"}`), "r2", nil},
		"a statement that is no object": {back("a", "a", `7`), "r2", fs.ErrInvalid},
		"a new promotion came": {func(p *attack.Publisher) {
			back("a", "a", good)(p)
			say(p, "channel/live", "a", "a three", `{"version":"r3","promotion":6,"fallback":`+named("r1", "a")+`}`)
			p.Publish("channel/live")
		}, "r3", nil},
		"the promotion is signed again": {func(p *attack.Publisher) {
			back("a", "a", good)(p)
			p.Publish("channel/live")
		}, "r1", nil},
		"a promotion without a fallback": {func(p *attack.Publisher) {
			back("a", "a", good)(p)
			say(p, "channel/live", "a", "a two", `{"version":"r2","promotion":5}`)
			p.Publish("channel/live")
		}, "r2", nil},
		"a promotion without a number": {func(p *attack.Publisher) {
			back("a", "a", `{"version":"r1"}`)(p)
			say(p, "channel/live", "a", "a two", `{"version":"r2","fallback":`+named("r1", "a")+`}`)
			p.Publish("channel/live")
		}, "r2", nil},
		"a key that is no signer's": {func(p *attack.Publisher) {
			p.Signers["fallback/live"] = []attack.Key{attack.NewKey()}
			back("a", "a", good)(p)
		}, "r2", trust.ErrSignature},
		"its signer was taken out": {func(p *attack.Publisher) {
			back("a", "a", good)(p)
			roles, other := p.Roles["targets"].Signed.Delegations, attack.NewKey()
			i := slices.IndexFunc(roles.Roles, func(d metadata.DelegatedRole) bool { return d.Name == "fallback/live" })
			roles.Roles[i].KeyIDs, roles.Keys[other.ID] = []string{other.ID}, other.Public
			p.Publish("targets")
		}, "r2", trust.ErrSignature},
		"the role was taken out": {func(p *attack.Publisher) {
			back("a", "a", good)(p)
			roles := p.Roles["targets"].Signed.Delegations
			roles.Roles = slices.DeleteFunc(roles.Roles, func(d metadata.DelegatedRole) bool { return d.Name == "fallback/live" })
			p.Publish("targets")
		}, "r2", nil},
		"expired": {func(p *attack.Publisher) {
			p.Lifetime = -time.Minute
			p.Roles["fallback/live"].Signed.Version++
			back("a", "a", good)(p)
			p.Lifetime = 24 * time.Hour
			p.Publish("app/a")
		}, "r2", trust.ErrExpired},
		"an old file in place of the new one": {func(p *attack.Publisher) {
			back("a", "a", good)(p)
			old := p.Files()["1.fallback%2Flive.json"]
			delete(p.Roles["fallback/live"].Signed.Targets, "fallback/live/a")
			p.Publish("fallback/live")
			p.Serve = func(name string, b []byte) ([]byte, error) {
				if strings.HasSuffix(name, "fallback%2Flive.json") {
					return old, nil
				}
				return b, nil
			}
		}, "r2", fs.ErrInvalid},
		"withheld": {func(p *attack.Publisher) {
			back("a", "a", good)(p)
			p.Serve = func(name string, b []byte) ([]byte, error) {
				if strings.HasSuffix(name, "fallback%2Flive.json") {
					return nil, fs.ErrNotExist
				}
				return b, nil
			}
		}, "r2", fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			p := protected(begun)
			test.change(p)
			for from, src := range sources(t, p, begun) {
				list, refused := current(t, p, src, begun)
				if len(list) != 2 || len(refused) != 0 || list[0].App != "a" || list[1].Version != "r1" || list[1].Back != nil {
					t.Fatalf("from %s: runs %+v, refuses %+v", from, list, refused)
				}
				a := list[0]
				if a.Version != test.runs {
					t.Errorf("from %s: a runs %s, want %s", from, a.Version, test.runs)
				}
				if went := test.runs == "r1"; (a.Back != nil) != went {
					t.Errorf("from %s: back %+v", from, a.Back)
				} else if went && (a.Digest != digest.Of([]byte("a")) || a.Back.Undone.Version != "r2" || len(a.Back.By) != 1 || a.Back.By[0] != p.Signers["fallback/live"][0].ID) {
					t.Errorf("from %s: %+v, back %+v", from, a, a.Back)
				}
				wrong := test.doubt != nil && (a.Doubt == nil || (from == "the operator" && !errors.Is(test.doubt, fs.ErrInvalid) && !errors.Is(a.Doubt, test.doubt)))
				if wrong || (test.doubt == nil && a.Doubt != nil) {
					t.Errorf("from %s: says %v, want %v", from, a.Doubt, test.doubt)
				}
			}
		})
	}
}

// What is not there now may be there later: nothing is decided while the link is down.
func TestAFallbackWhileTheLinkIsDown(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := protected(now)
	say(p, "fallback/live", "a", "a", `{"version":"r1","promotion":5}`)
	p.Publish("fallback/live")
	p.Serve = func(name string, b []byte) ([]byte, error) {
		if strings.HasSuffix(name, "fallback%2Flive.json") {
			return nil, errs.Errorf(errs.Unavailable, "the link is down")
		}
		return b, nil
	}
	c, err := client.Open(t.TempDir(), client.Options{Clock: clock.At(now)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PinRoot(t.Context(), p.Files()["1.root.json"]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Refresh(t.Context(), p, client.RefreshOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := release.Current(t.Context(), c, "live"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error: %v", err)
	}
}

// A promotion names what ran, and its number is never used again.
func TestAPromotionNamesItsFallback(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a", "r2.a", "r3.a")
	at := func() release.Entry {
		t.Helper()
		list, refused, err := release.Judge(checked{view{repo}, nil}, "live", time.Time{})
		if err != nil || len(list) != 1 || len(refused) != 0 {
			t.Fatalf("runs %+v, refuses %+v, %v", list, refused, err)
		}
		return list[0]
	}
	must := func(version, fallback string, number int64) {
		t.Helper()
		e := at()
		if e.Version != version || e.Promotion != number || (e.Fallback == nil) != (fallback == "") || (e.Fallback != nil && e.Fallback.Version != fallback) {
			t.Fatalf("runs %s by promotion %d with fallback %+v, want %s, %d, %q", e.Version, e.Promotion, e.Fallback, version, number, fallback)
		}
	}
	goBack := func() error {
		t.Helper()
		plan, err := release.PlanReturn(repo.now(), "live", "wallet")
		if err != nil {
			return err
		}
		return release.GoBack(t.Context(), repo, plan)
	}
	promoted(t, repo, "live", "r1.a")
	must("r1.a", "", 1)
	if err := goBack(); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("back to nothing: %v", err)
	}
	promoted(t, repo, "live", "r2.a")
	must("r2.a", "r1.a", 2)
	plan, err := release.PlanReturn(repo.now(), "live", "wallet")
	if err != nil {
		t.Fatal(err)
	}
	if err := goBack(); err != nil || at().Version != "r1.a" || at().Back == nil {
		t.Fatalf("runs %+v, %v", at(), err)
	}
	if err := goBack(); errs.KindOf(err) != errs.Conflict {
		t.Errorf("back a second time: %v", err)
	}
	// What another channel takes over is what this one runs.
	if p, err := release.PromoteFrom(t.Context(), repo, "wallet", "live", "other", false); err != nil || p.Version != "r1.a" {
		t.Errorf("taken over: %+v, %v", p, err)
	}
	// The same release again is a new promotion: the return is over. What ran before is r1, not itself.
	promoted(t, repo, "live", "r2.a")
	must("r2.a", "r1.a", 3)
	if at().Back != nil {
		t.Error("a promotion did not end the return")
	}
	if err := release.GoBack(t.Context(), repo, plan); errs.KindOf(err) != errs.Conflict {
		t.Errorf("what was shown undoes another promotion: %v", err)
	}
	if err := goBack(); err != nil {
		t.Fatal(err)
	}
	promoted(t, repo, "live", "r3.a")
	must("r3.a", "r1.a", 4)
	// A roll-back by all goes past what was promoted twice, and names no fallback: r3 was judged bad.
	if _, err := release.Rollback(t.Context(), repo, "live", "wallet"); err != nil {
		t.Fatal(err)
	}
	must("r2.a", "", 5)
	if _, err := release.Rollback(t.Context(), repo, "live", "wallet"); err != nil {
		t.Fatal(err)
	}
	must("r1.a", "", 6)
	// A withdrawn fallback is nowhere to return to.
	promoted(t, repo, "live", "r2.a")
	if err := repo.SetTargets(t.Context(), "app/wallet", func(_ trust.Signed, m map[string]trust.TargetFile) error {
		delete(m, "app/wallet/r1.a")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := goBack(); errs.KindOf(err) != errs.NotFound {
		t.Errorf("to a withdrawn release: %v", err)
	}
}

// A fallback that is named with another digest than its release's is no way back: who tries is told,
// and nothing is signed that nodes would refuse.
func TestS10AFallbackThatIsNotItsRelease(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a", "r2.a")
	promoted(t, repo, "live", "r1.a")
	promoted(t, repo, "live", "r2.a")
	path := release.ChannelPath("live", "wallet")
	err := repo.SetTargets(t.Context(), "channel/live", func(_ trust.Signed, files map[string]trust.TargetFile) error {
		file := files[path]
		file.Custom = json.RawMessage(`{"version":"r2.a","promotion":2,"fallback":` + named("r1.a", "something else") + `}`)
		files[path] = file
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if plan, err := release.PlanReturn(repo.now(), "live", "wallet"); errs.KindOf(err) != errs.Untrusted || errs.HintOf(err) == "" {
		t.Errorf("%+v, %v", plan, err)
	}
}
