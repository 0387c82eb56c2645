package operator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/clock"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/trust"
	"overland/internal/volume"
)

// withdraw takes what app has released back, as the holder of its key can.
func withdraw(t *testing.T, p *operator.Operator, app string) {
	t.Helper()
	repo, err := p.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = repo.SetTargets(t.Context(), release.Role(app), func(_ trust.Signed, files map[string]trust.TargetFile) error {
		for path := range files {
			if !strings.HasSuffix(path, "r0.a") {
				delete(files, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The operator sees which application nodes would refuse, and seals the others.
func TestS16SealAndShowJudgeEachAlone(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64"), "live")
	publish(t, p, "chat", "r0.a", "linux/amd64")
	promote(t, p, publish(t, p, "chat", "r1.a", "linux/amd64"), "live")
	withdraw(t, p, "chat")

	list, err := p.Channel(t.Context(), "live")
	if err != nil || len(list) != 2 {
		t.Fatalf("channel: %+v, %v", list, err)
	}
	if list[0].App != "chat" || !strings.Contains(list[0].Problem, "not a signed release") || list[1].App != "wallet" || list[1].Problem != "" {
		t.Errorf("channel show: %+v", list)
	}
	s, _ := seal(t, p, operator.SealOptions{Channel: "live"})
	if len(s.Entries) != 2 || s.Entries[0].App != release.AgentApp || s.Entries[1].App != "wallet" {
		t.Errorf("sealed %+v, want wallet and the agent", s.Entries)
	}
	if w := strings.Join(s.Warnings, "\n"); !strings.Contains(w, "chat is left out, and nodes keep what they run of it") {
		t.Errorf("warnings: %s", w)
	}
	check, err := operator.VerifyVolume(t.Context(), s.Paths[0], s.Fingerprint, nil)
	if err != nil || len(check.Releases) != 2 {
		t.Errorf("verify: %+v, %v", check, err)
	}
	if _, err := p.Seal(t.Context(), operator.SealOptions{Channel: "live", Apps: []string{"chat"}, Out: filepath.Join(t.TempDir(), "x.volume")}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("asked for by name: %v", err)
	}
	if _, err := p.Remove(t.Context(), "wallet", "live"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Seal(t.Context(), operator.SealOptions{Channel: "live", Out: filepath.Join(t.TempDir(), "y.volume")}); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("nothing left that nodes would run: %v", err)
	}
}

// A volume that was sealed while all was well is taken after one application's release was withdrawn.
func TestS16AVolumeWithWhatWasWithdrawn(t *testing.T) {
	p := begin(t)
	promote(t, p, publish(t, p, "wallet", "r1.a", "linux/amd64"), "live")
	publish(t, p, "chat", "r0.a", "linux/amd64")
	promote(t, p, publish(t, p, "chat", "r1.a", "linux/amd64"), "live")
	seal(t, p, operator.SealOptions{Channel: "live"})
	c, err := p.Content(t.Context(), operator.SealOptions{Channel: "live"})
	if err != nil {
		t.Fatal(err)
	}
	withdraw(t, p, "chat")
	now, err := p.Signed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	clear(c.Trust)
	for _, name := range now.Names() {
		if c.Trust[name], err = now.Metadata(t.Context(), name, trust.MaxTargets); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "x.volume")
	if _, err := volume.Seal(t.Context(), path, c, volume.Options{}); err != nil {
		t.Fatal(err)
	}
	check, err := operator.VerifyVolume(t.Context(), path, now.Fingerprint(), nil)
	if err != nil || len(check.Releases) != 2 {
		t.Fatalf("verify: %+v, %v", check, err)
	}
	in, err := (*operator.Operator)(nil).Inspect(t.Context(), path)
	if err != nil || in.Signed.Problem != "" || len(in.Releases) != 3 {
		t.Fatalf("inspect: %+v, %v", in, err)
	}
	for _, r := range in.Releases {
		if (r.Problem != "") != (r.App == "chat") {
			t.Errorf("%s: problem %q", r.App, r.Problem)
		}
	}
}

// Two projects are sealed on one machine: the second file holds nothing of the first, by its statements
// either, and one whose statements have expired does not fail the other.
func TestOneProjectsFileCarriesOneProject(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "site")
	p := open(t, dir, operator.Options{}, "linux/amd64")
	if _, err := p.InitTrust(t.Context(), nil, 0); err != nil {
		t.Fatal(err)
	}
	for _, app := range []string{"wallet", "chat"} {
		promote(t, p, publish(t, p, app, "r1.a", "linux/amd64"), release.Local(app))
	}
	s, _ := seal(t, p, operator.SealOptions{Channel: release.Local("wallet")})
	v, err := volume.Open(s.Paths[0])
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	names := strings.Join(v.MetadataNames(), " ")
	if strings.Contains(names, "chat") || !strings.Contains(names, "channel%2Flocal%2Fwallet.json") || !strings.Contains(names, "app%2Fwallet.json") {
		t.Errorf("metadata: %s", names)
	}
	tags, err := v.Tags()
	if err != nil || len(tags) != 2 {
		t.Errorf("releases: %+v, %v", tags, err)
	}
	if _, err := operator.VerifyVolume(t.Context(), s.Paths[0], s.Fingerprint, nil); err != nil {
		t.Error(err)
	}

	// Thirteen months later, chat's key is lost: wallet is sealed all the same.
	repo, err := p.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release1, err := p.Keys().Public("release")
	if err != nil {
		t.Fatal(err)
	}
	lost, err := p.Keys().New("lost", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.AddSigner(t.Context(), "app/chat", lost, 0); err != nil {
		t.Fatal(err)
	}
	if err := repo.RemoveSigner(t.Context(), "app/chat", release1.ID, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "keys", "lost.key")); err != nil {
		t.Fatal(err)
	}
	late := open(t, dir, operator.Options{Agents: p.Options().Agents, Clock: clock.At(noon.Add(400 * 24 * time.Hour))})
	s, _ = seal(t, late, operator.SealOptions{Channel: release.Local("wallet")})
	if len(s.Entries) != 2 {
		t.Errorf("sealed %+v", s.Entries)
	}
	_, err = late.Seal(t.Context(), operator.SealOptions{Channel: release.Local("chat"), Out: filepath.Join(t.TempDir(), "c.volume")})
	if errs.KindOf(err) != errs.Untrusted || !strings.Contains(err.Error(), "expired") {
		t.Errorf("chat: %v", err)
	}
}
