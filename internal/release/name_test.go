package release_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/release"
	"overland/internal/store/mem"
	"overland/internal/trust"
)

// theirs is another repository, which calls itself the same.
var theirs = release.Origin{Repository: "bad0000000000000000000000000000000000bad"}

func publish(t *testing.T, repo release.Repository, version string, o release.Origin) (*release.Published, error) {
	t.Helper()
	return release.Publish(t.Context(), repo, new(mem.Store), release.Draft{Ref: release.Ref{"wallet", version}, Index: index(version)}, o)
}

// A name is the repository's own word: it is bound to the repository that released it first.
func TestS3ANameIsBoundToItsRepository(t *testing.T) {
	repo := &signed{}
	p, err := publish(t, repo, "r2.a", ours)
	if err != nil || !p.New || p.Taken != nil {
		t.Fatalf("the first release: %+v, %v", p, err)
	}
	if p, err = publish(t, repo, "r10.a", ours); err != nil || p.New || p.Taken != nil {
		t.Fatalf("the second one: %+v, %v", p, err)
	}
	_, err = publish(t, repo, "r9.bad", theirs)
	if errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "released r10.a last") || !strings.Contains(errs.HintOf(err), "--take-name") {
		t.Fatalf("another repository: %v, hint %q", err, errs.HintOf(err))
	}
	now := view{repo}
	if _, err := release.Find(now, release.Ref{"wallet", "r9.bad"}); errs.KindOf(err) != errs.NotFound {
		t.Fatalf("it was signed: %v", err)
	}
	if err := release.MayName(now, "wallet", theirs); errs.KindOf(err) != errs.Conflict {
		t.Errorf("asked before anything is built: %v", err)
	}
	if _, err = publish(t, repo, "r3.a", release.Origin{}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("of no repository: %v", err)
	}

	take := theirs
	take.Take = true
	p, err = publish(t, repo, "r9.bad", take)
	if err != nil || p.New || p.Taken == nil || p.Taken.Repository != ours.Repository || p.Taken.Newest != "r10.a" || p.Taken.Releases != 2 {
		t.Fatalf("taken: %+v, %v", p, err)
	}
	if _, err = publish(t, repo, "r11.bad", theirs); err != nil {
		t.Errorf("its next release: %v", err)
	}
	if _, err = publish(t, repo, "r3.a", ours); errs.KindOf(err) != errs.Conflict {
		t.Errorf("the repository that lost the name: %v", err)
	}
	if _, err = publish(t, repo, "r10.a", ours); errs.KindOf(err) != errs.Conflict {
		t.Errorf("a release of its own again: %v", err)
	}
	back := ours
	back.Take = true
	if p, err = publish(t, repo, "r10.a", back); err != nil || p.Taken == nil || p.Taken.Releases != 2 {
		t.Errorf("taken back with a release that was signed before: %+v, %v", p, err)
	}
	if _, err = publish(t, repo, "r3.a", ours); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// What was signed before names were bound belongs to nobody that can be known.
func TestS3AReleaseWithoutARepository(t *testing.T) {
	repo := &signed{}
	err := repo.SetTargets(t.Context(), "app/wallet", func(_ trust.Signed, m map[string]trust.TargetFile) error {
		m["app/wallet/r1.a"] = trust.TargetFile{Digest: index("r1.a").Digest, Size: index("r1.a").Size}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publish(t, repo, "r2.a", ours); errs.KindOf(err) != errs.Conflict {
		t.Errorf("error: %v", err)
	}
}

func TestS3PromoteAnotherRepositorysRelease(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a")
	promoted(t, repo, "live", "r1.a")
	take := theirs
	take.Take = true
	if _, err := publish(t, repo, "r9.bad", take); err != nil {
		t.Fatal(err)
	}
	ref := release.Ref{"wallet", "r9.bad"}
	if n, err := release.Promote(t.Context(), repo, ref, "local/wallet", false); err != nil || n.Taken {
		t.Fatalf("to a channel that runs no wallet: %+v, %v", n, err)
	}
	for name, promote := range map[string]func(release.TakeName) (*release.Promotion, error){
		"by name": func(take release.TakeName) (*release.Promotion, error) {
			return release.Promote(t.Context(), repo, ref, "live", take)
		},
		"from a channel": func(take release.TakeName) (*release.Promotion, error) {
			return release.PromoteFrom(t.Context(), repo, "wallet", "local/wallet", "live", take)
		},
	} {
		_, err := promote(false)
		if errs.KindOf(err) != errs.Conflict || !strings.Contains(errs.HintOf(err), "--take-name") {
			t.Errorf("%s: error %v", name, err)
		}
		n, err := promote(true)
		if err != nil || !n.Taken || n.Before.Version != "r1.a" {
			t.Errorf("%s: taken: %+v, %v", name, n, err)
		}
		// Back to what was believed before needs no leave.
		if n, err := release.Rollback(t.Context(), repo, "live", "wallet"); err != nil || n.Version != "r1.a" || !n.Taken {
			t.Errorf("%s: rolled back: %+v, %v", name, n, err)
		}
	}
}

func TestS3ReservedNamesAreNotSigned(t *testing.T) {
	repo := &signed{}
	for _, name := range []string{release.AgentApp, "overland", "local", "root"} {
		ref := release.Ref{name, "r1.a"}
		if _, err := release.Publish(t.Context(), repo, new(mem.Store), release.Draft{Ref: ref, Index: index("x")}, ours); errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "reserved") {
			t.Errorf("publish %s: %v", name, err)
		}
		if len(repo.roles) != 0 {
			t.Errorf("%s was signed", name)
		}
	}
	if err := release.PublishAgent(t.Context(), repo, new(mem.Store), release.Draft{Ref: release.Ref{"wallet", "r1.a"}, Index: index("x")}); err == nil {
		t.Error("an application was signed as the agent")
	}
}

// A document that names the agent is read only when it is one: programs alone, and their version.
func TestS3OnlyTheAgentIsTheAgent(t *testing.T) {
	program := release.Artifact{
		Name: release.AgentApp, Platform: "linux/amd64", File: release.AgentApp, Kind: release.KindBinary,
		Blob: release.Blob{Digest: digest.Of([]byte("agent")), Size: 5},
	}
	version := release.AgentVersion([]release.Artifact{program})
	agent := func(change func(*release.Release)) error {
		r := release.Release{Schema: release.Schema, App: release.AgentApp, Version: version, Artifacts: []release.Artifact{program}}
		change(&r)
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		_, err = release.Parse(b)
		return err
	}
	if err := agent(func(*release.Release) {}); err != nil {
		t.Errorf("the agent itself: %v", err)
	}
	for name, change := range map[string]func(*release.Release){
		"a commit's version": func(r *release.Release) { r.Version = "r7.0123456789ab" },
		"another version":    func(r *release.Release) { r.Version = "r0.0123456789ab" },
		"a commit":           func(r *release.Release) { r.Commit = ours.Repository },
		"a commit's time":    func(r *release.Release) { r.CommitTime = time.Unix(1, 0) },
		"a command":          func(r *release.Release) { r.Commands = map[string]string{"tool": release.AgentApp} },
		"an overland.yaml":   func(r *release.Release) { r.Spec = digest.Of(nil) },
		"another artifact":   func(r *release.Release) { r.Artifacts[0].Name = "node" },
		"another program":    func(r *release.Release) { r.Artifacts[0].Blob.Digest = digest.Of([]byte("evil")) },
		"another name":       func(r *release.Release) { r.App = "overland" },
	} {
		if err := agent(change); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestLocalChannels(t *testing.T) {
	for s, good := range map[string]bool{
		"live": true, "local/wallet": true, "local": false, "local/": false, "local/a/b": false, "live/wallet": false,
		"local/Wallet": false, "/wallet": false, "local/../live": false, "": false,
	} {
		if _, err := release.ParseChannel(s); (err == nil) != good || (err != nil && errs.KindOf(err) != errs.Invalid) {
			t.Errorf("channel %q: %v", s, err)
		}
	}
	long := release.Local(strings.Repeat("a", 63))
	name := trust.WireName(long.Role(), 1<<31)
	if err := trust.CheckMetadataName(name); err != nil || release.MetadataChannel(name) != long {
		t.Errorf("metadata of %s: %s, %v", long, name, err)
	}
	repo := &signed{}
	published(t, repo, "r1.a")
	promoted(t, repo, "local/wallet", "r1.a")
	_, err := release.Promote(t.Context(), repo, release.Ref{"wallet", "r1.a"}, "local/other", false)
	if errs.KindOf(err) != errs.Invalid {
		t.Errorf("wallet in the channel of another application: %v", err)
	}
}

func TestRemove(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a", "r2.a")
	promoted(t, repo, "live", "r1.a")
	promoted(t, repo, "live", "r2.a")
	if _, _, err := release.Remove(t.Context(), repo, "other", "live"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("what the channel does not run: %v", err)
	}
	was, left, err := release.Remove(t.Context(), repo, "wallet", "live")
	if err != nil || was.Version != "r2.a" || left != 0 {
		t.Fatalf("removed %+v, %d left, %v", was, left, err)
	}
	if _, _, err := release.Remove(t.Context(), repo, "wallet", "live"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("again: %v", err)
	}
	promoted(t, repo, "live", "r1.a")
	if n, err := release.Rollback(t.Context(), repo, "live", "wallet"); err != nil || n.Version != "r2.a" {
		t.Errorf("back to what it ran before it was removed: %+v, %v", n, err)
	}
}

// checked is a view whose roles a node believes but for those in bad.
type checked struct {
	view
	bad map[string]bool
}

func (c checked) Check(role string, _ time.Time) error {
	if c.bad[role] {
		return errs.E(errs.Untrusted, trust.ErrExpired)
	}
	return nil
}

func TestS16EachApplicationIsJudgedAlone(t *testing.T) {
	repo := &signed{}
	for _, app := range []string{"good", "withdrawn", "expired", "changed", "longer"} {
		ref := release.Ref{app, "r1.a"}
		if _, err := release.Publish(t.Context(), repo, new(mem.Store), release.Draft{Ref: ref, Index: index(app)}, ours); err != nil {
			t.Fatal(err)
		}
		if _, err := release.Promote(t.Context(), repo, ref, "live", false); err != nil {
			t.Fatal(err)
		}
	}
	set := func(role string, change func(m map[string]trust.TargetFile)) {
		t.Helper()
		err := repo.SetTargets(context.Background(), role, func(_ trust.Signed, m map[string]trust.TargetFile) error {
			change(m)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	set("app/withdrawn", func(m map[string]trust.TargetFile) { clear(m) })
	set("app/changed", func(m map[string]trust.TargetFile) {
		m["app/changed/r1.a"] = trust.TargetFile{Digest: digest.Of([]byte("other")), Size: index("changed").Size}
	})
	set("app/longer", func(m map[string]trust.TargetFile) {
		m["app/longer/r1.a"] = trust.TargetFile{Digest: index("longer").Digest, Size: index("longer").Size + 1}
	})
	set("channel/live", func(m map[string]trust.TargetFile) {
		m["channel/live/nonsense"] = trust.TargetFile{Digest: digest.Of(nil), Custom: json.RawMessage(`{"version":7}`)}
		m["channel/live/Bad\x1b[31m"] = trust.TargetFile{Digest: digest.Of(nil), Custom: json.RawMessage(`{"version":"r1.a"}`)}
		m["channel/live/overland"] = m["channel/live/good"]
	})
	now := checked{view{repo}, map[string]bool{"app/expired": true}}
	list, refused, err := release.Judge(now, "live", time.Time{})
	if err != nil || len(list) != 1 || list[0].App != "good" {
		t.Fatalf("runs %+v, %v; want good alone", list, err)
	}
	var names []string
	for _, r := range refused {
		names = append(names, r.App)
		if errs.KindOf(r.Err) != errs.Untrusted {
			t.Errorf("%s: %v is of kind %s", r.App, r.Err, errs.KindOf(r.Err))
		}
	}
	if got, want := strings.Join(names, " "), `"Bad\x1b[31m" changed expired longer nonsense overland withdrawn`; got != want {
		t.Errorf("refused: %s, want %s", got, want)
	}
}

// broken is a repository that cannot be read.
type broken struct {
	view
	err error
}

func (b broken) Check(string, time.Time) error { return b.err }

// A disk that fails says nothing about a release: nobody is told that it was withdrawn.
func TestJudgeWhileTheDiskFails(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a")
	if _, err := release.Promote(t.Context(), repo, release.Ref{"wallet", "r1.a"}, "live", false); err != nil {
		t.Fatal(err)
	}
	for _, cause := range []error{errors.New("input/output error"), errs.Errorf(errs.Unavailable, "away"), context.Canceled} {
		if list, refused, err := release.Judge(broken{view{repo}, cause}, "live", time.Time{}); !errors.Is(err, cause) {
			t.Errorf("%v: runs %+v, refuses %+v, %v", cause, list, refused, err)
		}
	}
	gone := errs.E(errs.Unavailable, fs.ErrNotExist) // signed as being there
	if _, refused, err := release.Judge(broken{view{repo}, gone}, "live", time.Time{}); err != nil || len(refused) != 1 {
		t.Errorf("a file that is gone: %+v, %v", refused, err)
	}
}

// What a channel says counts only for the names that it may speak of, also where their own roles have
// signed the same: a reserved name is nobody's, and an application's own channel runs nothing else.
func TestS3AChannelRunsOnlyWhatItMay(t *testing.T) {
	repo := &signed{}
	published(t, repo, "r1.a")
	put := func(role, path, custom string, content string) {
		t.Helper()
		err := repo.SetTargets(t.Context(), role, func(_ trust.Signed, m map[string]trust.TargetFile) error {
			m[path] = trust.TargetFile{Digest: index(content).Digest, Size: index(content).Size, Custom: json.RawMessage(custom)}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const version = `{"version":"r1.a"}`
	for _, app := range []string{"overland-helper", "other"} {
		put("app/"+app, "app/"+app+"/r1.a", "{}", app)
	}
	for ch, app := range map[release.Channel]string{"live": "overland-helper", "local/wallet": "other"} {
		put(ch.Role(), release.ChannelPath(ch, app), version, app)
		put(ch.Role(), release.ChannelPath(ch, "wallet"), version, "r1.a")
		list, refused, err := release.Judge(checked{view{repo}, nil}, ch, time.Time{})
		if err != nil || len(list) != 1 || list[0].App != "wallet" || len(refused) != 1 || refused[0].App != app {
			t.Errorf("%s runs %+v, refuses %+v, %v", ch, list, refused, err)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, list := range [][]string{
		{"r9.f", "r10.0", "r10.a", "v0.9.0", "v1.2.3", "v1.2.3-4-gabc", "v1.2.3-10-g0", "v1.2.10", "v1.10.0", "v2"},
		{"", "r1", "r1.a", "r001.b", "r2"},
	} {
		for i, a := range list {
			for j, b := range list {
				if got := release.CompareVersions(a, b); got != cmp.Compare(i, j) {
					t.Errorf("%q, %q: %d", a, b, got)
				}
			}
		}
	}
}
