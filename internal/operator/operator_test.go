package operator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/store"
	"overland/internal/testkit/publisher"
	"overland/internal/trust"
	"overland/internal/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// open returns an Operator in dir, with agent programs for the platforms.
func open(t *testing.T, dir string, o operator.Options, agents ...platform.Platform) *operator.Operator {
	t.Helper()
	if o.Agents == "" {
		o.Agents = filepath.Join(t.TempDir(), "agents")
	}
	if o.Clock == nil {
		o.Clock = clock.At(noon)
	}
	for _, p := range agents {
		path := filepath.Join(o.Agents, p.Dashed(), release.AgentApp)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("agent for "+string(p)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o.Make = true
	p, err := operator.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What is not there is made for those who ask for it, and for nobody by a slip.
func TestASiteDirectoryIsMadeOnPurpose(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "typo")
	if _, err := operator.Open(dir, operator.Options{}); !errors.Is(err, operator.ErrNoSite) || errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	for _, first := range []bool{true, false} {
		p, err := operator.Open(dir, operator.Options{Make: true})
		if err != nil || p.New() != first {
			t.Errorf("made: %v, %v; want %v", p.New(), err, first)
		}
	}
	if _, err := operator.Open(dir, operator.Options{}); err != nil {
		t.Error(err)
	}
}

// begin returns an Operator with signed metadata and agents for amd64 and arm/v6.
func begin(t *testing.T) *operator.Operator {
	t.Helper()
	p := open(t, filepath.Join(t.TempDir(), "site"), operator.Options{}, "linux/amd64", "linux/arm/v6")
	if _, err := p.InitTrust(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

// publish releases app at version with programs whose content tells all of
// it, without building anything.
func publish(t *testing.T, p *operator.Operator, app, version string, platforms ...platform.Platform) release.Ref {
	t.Helper()
	return publishRelease(t, p, release.Release{App: app, Version: version, CommitTime: noon}, platforms...)
}

// publishRelease gives r a program for each platform and signs it.
func publishRelease(t *testing.T, p *operator.Operator, r release.Release, platforms ...platform.Platform) release.Ref {
	t.Helper()
	for _, plat := range platforms {
		text := []byte(fmt.Sprintf("%s %s for %s", r.App, r.Version, plat))
		d, err := store.PutBytes(t.Context(), p.Depot(), text)
		if err != nil {
			t.Fatal(err)
		}
		r.Artifacts = append(r.Artifacts, release.Artifact{
			Name: r.App, Platform: plat, File: r.App, Kind: release.KindBinary, Blob: release.Blob{Digest: d, Size: int64(len(text))},
		})
	}
	desc, err := release.Write(t.Context(), p.Depot(), r)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := p.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := release.Publish(t.Context(), repo, p.Depot(), release.Draft{Ref: r.Ref(), Index: desc, Inputs: r.Inputs}, release.Origin{Repository: publisher.Repository}); err != nil {
		t.Fatal(err)
	}
	return r.Ref()
}

func promote(t *testing.T, p *operator.Operator, ref release.Ref, to release.Channel) {
	t.Helper()
	if _, err := p.Promote(t.Context(), operator.PromoteOptions{Ref: ref, To: to}); err != nil {
		t.Fatal(err)
	}
}

func seal(t *testing.T, p *operator.Operator, o operator.SealOptions) (*operator.Sealed, []byte) {
	t.Helper()
	o.Out = filepath.Join(t.TempDir(), "x.volume")
	s, err := p.Seal(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

func TestSealingTwiceGivesTheSameBytes(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64", "linux/arm/v6"), "live")
	first, one := seal(t, p, operator.SealOptions{Channel: "live"})
	if !first.NewAgent || first.Renewed {
		t.Errorf("the first volume: new agent %v, renewed %v", first.NewAgent, first.Renewed)
	}
	// Another process, a day later.
	later := open(t, p.Dir(), operator.Options{Agents: p.Options().Agents, Clock: clock.At(noon.Add(24 * time.Hour))})
	second, two := seal(t, later, operator.SealOptions{Channel: "live"})
	if !bytes.Equal(one, two) || second.NewAgent || second.Renewed {
		t.Errorf("the second volume differs: new agent %v, renewed %v", second.NewAgent, second.Renewed)
	}
	// Close to expiry it is signed anew, and that is said.
	late := open(t, p.Dir(), operator.Options{Agents: p.Options().Agents, Clock: clock.At(noon.Add(13 * 24 * time.Hour))})
	third, three := seal(t, late, operator.SealOptions{Channel: "live"})
	if bytes.Equal(one, three) || !third.Renewed {
		t.Errorf("the third volume: renewed %v", third.Renewed)
	}
}

func TestSealLeavesOutOtherPlatforms(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64", "linux/arm/v6", "linux/arm64"), "live")
	s, b := seal(t, p, operator.SealOptions{Channel: "live"})
	if want := []platform.Platform{"linux/amd64", "linux/arm/v6", "linux/arm/v7"}; !slices.Equal(s.Platforms, want) {
		t.Errorf("platforms %v, want %v", s.Platforms, want)
	}
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "linux/arm64") {
		t.Errorf("warnings %q, want one of linux/arm64", s.Warnings)
	}
	if bytes.Contains(b, []byte("wallet r1.a for linux/arm64")) {
		t.Error("the program for linux/arm64 is in the volume, though no agent is")
	}
	_, b = seal(t, p, operator.SealOptions{Channel: "live", Platforms: []platform.Platform{"linux/arm/v7"}})
	for text, want := range map[string]bool{
		"wallet r1.a for linux/arm/v6": true, "agent for linux/arm/v6": true,
		"wallet r1.a for linux/amd64": false, "agent for linux/amd64": false,
	} {
		if bytes.Contains(b, []byte(text)) != want {
			t.Errorf("%q in the volume for linux/arm/v7: want %v", text, want)
		}
	}
}

func TestSealSomeApplications(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64"), "live")
	promote(t, p, publish(t, p, "chat", "r7.b", "linux/amd64"), "live")
	s, b := seal(t, p, operator.SealOptions{Channel: "live", Apps: []string{"chat"}})
	if !bytes.Contains(b, []byte("chat r7.b for")) || bytes.Contains(b, []byte("wallet r1.a for")) || len(s.Entries) != 2 {
		t.Errorf("entries %v", s.Entries)
	}
	// What the channel runs can still be read and verified.
	check, err := operator.VerifyVolume(t.Context(), s.Paths[0], s.Fingerprint, nil)
	if err != nil || len(check.Releases) != 3 || !check.Trusted {
		t.Errorf("check %+v, %v", check, err)
	}
}

func TestVerifyVolumeWithAnotherRoot(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64"), "live")
	s, _ := seal(t, p, operator.SealOptions{Channel: "live"})
	other := trust.Fingerprint("sha256:" + strings.Repeat("0", 64))
	if _, err := operator.VerifyVolume(t.Context(), s.Paths[0], other, nil); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("error = %v, want an untrusted one", err)
	}
}

// The payload is replaced and every digest in the volume is computed
// again: only the signatures tell.
func TestVerifyVolumeWithReplacedPayload(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64", "linux/arm/v6"), "live")
	s, _ := seal(t, p, operator.SealOptions{Channel: "live"})
	evil, err := store.PutBytes(t.Context(), p.Depot(), []byte("wallet r1.a for evil"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *volume.Content){
		"as it is": func(*volume.Content) {},
		"program": func(c *volume.Content) {
			good := digest.Of([]byte("wallet r1.a for linux/amd64"))
			i := slices.IndexFunc(c.Blobs, func(b ocispec.Descriptor) bool { return b.Digest == good })
			c.Blobs[i].Digest, c.Blobs[i].Size = evil, int64(len("wallet r1.a for evil"))
		},
		"one more": func(c *volume.Content) {
			c.Blobs = append(c.Blobs, ocispec.Descriptor{Digest: evil, Size: int64(len("wallet r1.a for evil"))})
		},
		"agent": func(c *volume.Content) {
			c.Blobs = append(c.Blobs, ocispec.Descriptor{Digest: evil, Size: int64(len("wallet r1.a for evil"))})
			c.Agents[0].Digest, c.Agents[0].Size = evil, int64(len("wallet r1.a for evil"))
		},
		"another machine's agent": func(c *volume.Content) {
			c.Agents[0].Digest, c.Agents[0].Size = c.Agents[1].Digest, c.Agents[1].Size
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := p.Content(t.Context(), operator.SealOptions{Channel: "live"})
			if err != nil {
				t.Fatal(err)
			}
			change(&c)
			path := filepath.Join(t.TempDir(), "forged.volume")
			if _, err := volume.Seal(t.Context(), path, c, volume.Options{}); err != nil {
				t.Fatal(err)
			}
			_, err = operator.VerifyVolume(t.Context(), path, s.Fingerprint, nil)
			in, inspectErr := p.Inspect(t.Context(), path)
			if inspectErr != nil {
				t.Fatal(inspectErr)
			}
			if name == "as it is" {
				if err != nil || in.Signed.Problem != "" {
					t.Errorf("refused: %v, inspect says %q", err, in.Signed.Problem)
				}
				return
			}
			if errs.KindOf(err) != errs.Untrusted || in.Signed.Problem == "" {
				t.Errorf("error = %v, inspect says %q; want both to refuse it", err, in.Signed.Problem)
			}
		})
	}
}

func TestTheAgentIsNotBroughtBack(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64"), "live")
	seal(t, p, operator.SealOptions{Channel: "live"})
	newer := open(t, p.Dir(), operator.Options{Clock: clock.At(noon)}, "linux/amd64")
	if s, _ := seal(t, newer, operator.SealOptions{Channel: "live"}); !s.NewAgent {
		t.Error("the newer agent was not promoted")
	}
	if s, _ := seal(t, p, operator.SealOptions{Channel: "live"}); s.NewAgent {
		t.Error("an older agent came back")
	}
	if _, err := p.Rollback(t.Context(), "live", release.AgentApp); err != nil {
		t.Fatal(err)
	}
	if s, _ := seal(t, newer, operator.SealOptions{Channel: "live"}); s.NewAgent {
		t.Error("an agent that was rolled back came back")
	}
}

// TestOperatorsAtOnce holds that of promotions made at once none is lost: each application
// ends at one of the releases asked for, and the history has every statement. An operator may
// get a conflict, and then knows.
func TestOperatorsAtOnce(t *testing.T) {
	p := begin(t)
	const apps, operators = 3, 4
	refs := make([][]release.Ref, apps)
	for a := range refs {
		for o := range operators {
			refs[a] = append(refs[a], publish(t, p, fmt.Sprintf("app-%c", 'a'+a), fmt.Sprintf("r%d.a", o+1), "linux/amd64"))
		}
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	done := make(map[release.Ref]bool)
	for o := range operators {
		own := open(t, p.Dir(), operator.Options{Agents: p.Options().Agents})
		wait.Go(func() {
			for a := range apps {
				ref := refs[a][o]
				switch _, err := own.Promote(t.Context(), operator.PromoteOptions{Ref: ref, To: "live"}); {
				case err == nil:
					mu.Lock()
					done[ref] = true
					mu.Unlock()
				case errs.KindOf(err) != errs.Conflict:
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	now, err := p.Signed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for a := range apps {
		before, err := release.Before(t.Context(), now, "live", refs[a][0].App)
		if err != nil {
			t.Fatal(err)
		}
		stated := 1 // the present one
		for _, e := range before {
			if done[e.Ref()] {
				stated++
			}
		}
		want := 0
		for _, ref := range refs[a] {
			if done[ref] {
				want++
			}
		}
		if stated != want {
			t.Errorf("%s: %d statements in the history, %d were acknowledged", refs[a][0].App, stated, want)
		}
	}
}

// private gives the keys of a copied site their mode back.
func private(t *testing.T, dir string) {
	t.Helper()
	keys, err := filepath.Glob(filepath.Join(dir, "keys", "*.key"))
	if err != nil || len(keys) == 0 {
		t.Fatalf("no keys in %s: %v", dir, err)
	}
	for _, k := range keys {
		if err := os.Chmod(k, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSealStoppedAnywhere stops a seal before each change of the disk: the next one succeeds, and
// nothing half is left under the volume's name.
func TestSealStoppedAnywhere(t *testing.T) {
	stop := errors.New("stopped here")
	base := begin(t)
	promote(t, base, publish(t, base, "wallet", "r1.a", "linux/amd64"), "live")
	points := 0
	for n := 0; ; n++ {
		dir := filepath.Join(t.TempDir(), "site")
		if err := os.CopyFS(dir, os.DirFS(base.Dir())); err != nil {
			t.Fatal(err)
		}
		private(t, dir)
		p := open(t, dir, operator.Options{Agents: base.Options().Agents})
		left := n
		broken := open(t, p.Dir(), operator.Options{Agents: p.Options().Agents, Clock: clock.At(noon), FS: fsx.FS{Before: func(fsx.Op) error {
			if left--; left < 0 {
				return stop
			}
			return nil
		}}})
		out := filepath.Join(t.TempDir(), "x.volume")
		_, err := broken.Seal(t.Context(), operator.SealOptions{Channel: "live", Out: out})
		if err == nil {
			break
		}
		if !errors.Is(err, stop) {
			t.Fatalf("stopped at %d: %v", n, err)
		}
		points++
		if v, err := volume.Open(out); err == nil {
			if err := errors.Join(v.Verify(t.Context(), nil), v.Close()); err != nil {
				t.Errorf("stopped at %d: the volume is there and bad: %v", n, err)
			}
		}
		s, err := p.Seal(t.Context(), operator.SealOptions{Channel: "live", Out: out})
		if err != nil {
			t.Fatalf("after a stop at %d: %v", n, err)
		}
		if _, err := operator.VerifyVolume(context.WithoutCancel(t.Context()), out, s.Fingerprint, nil); err != nil {
			t.Fatalf("after a stop at %d: %v", n, err)
		}
	}
	t.Logf("%d points tried", points)
}
