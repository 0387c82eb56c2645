package operator_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/appfile"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/operator"
	"overland/internal/release"
	"overland/internal/source"
	"overland/internal/trust"
)

// newCommit returns a repository of one commit that holds text.
func newCommit(t *testing.T, text string) (*source.Repo, source.Commit) {
	t.Helper()
	return newCommitOf(t, map[string]string{"text": text})
}

// newCommitOf returns a repository of one commit that holds files.
func newCommitOf(t *testing.T, files map[string]string) (*source.Repo, source.Commit) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range []string{"init -q", "add -A", "-c user.name=t -c user.email=t@example.org commit -q -m one"} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, strings.Fields(args)...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	repo, err := source.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := repo.Resolve(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return repo, c
}

func pack(t *testing.T, repo *source.Repo, c source.Commit) string {
	t.Helper()
	var b bytes.Buffer
	if err := repo.Pack(t.Context(), c, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOpenVolume(t *testing.T) {
	p := begin(t)
	repo, c := newCommit(t, "hello")
	built := release.Release{App: "wallet", Version: c.Version, Commit: c.Hash}
	promote(t, p, publishBuilt(t, p, built, pack(t, repo, c), "one", "two"), "live")
	promote(t, p, publish(t, p, "chat", "r7.b", "linux/amd64"), "live")
	s, err := p.Seal(t.Context(), operator.SealOptions{Channel: "live", Inputs: true, Split: 16 << 10, Out: filepath.Join(t.TempDir(), "x.volume")})
	if err != nil || len(s.Paths) < 2 {
		t.Fatalf("sealed %v, %v", s, err)
	}
	o, err := operator.OpenVolume(t.Context(), operator.OpenOptions{Path: s.Paths[0], Root: s.Fingerprint})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if o.App != "wallet" || len(o.Lock.Entries) != 2 {
		t.Errorf("opened %s, %d locked", o.Ref(), len(o.Lock.Entries))
	}
	b, err := o.Open(t.Context(), digest.Of([]byte("two")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // from its start each time
		if text, err := io.ReadAll(b); err != nil || string(text) != "two" || b.Size() != 3 {
			t.Errorf("read %q of %d bytes, %v", text, b.Size(), err)
		}
		if _, err := b.Seek(0, io.SeekStart); err != nil {
			t.Error(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := o.Open(t.Context(), digest.Of([]byte("three"))); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a blob that is not there: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "source")
	if err := o.Unpack(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "text")); err != nil || string(text) != "hello" {
		t.Errorf("unpacked %q, %v", text, err)
	}
}

func TestOpenVolumeRefuses(t *testing.T) {
	p := begin(t)
	promote(t, p, publishFrom(t, p, "wallet", "r1.a", "one"), "live")
	promote(t, p, publishFrom(t, p, "chat", "r2.b", "two"), "live")
	promote(t, p, publish(t, p, "plain", "r3.c", "linux/amd64"), "live")
	with, _ := seal(t, p, operator.SealOptions{Channel: "live", Inputs: true})
	without, _ := seal(t, p, operator.SealOptions{Channel: "live"})
	other := trust.Fingerprint("sha256:" + strings.Repeat("0", 64))
	for name, test := range map[string]struct {
		o    operator.OpenOptions
		kind errs.Kind
	}{
		"which of two":     {operator.OpenOptions{Path: with.Paths[0], Root: with.Fingerprint}, errs.Invalid},
		"no such one":      {operator.OpenOptions{Path: with.Paths[0], Root: with.Fingerprint, App: "x"}, errs.NotFound},
		"one without":      {operator.OpenOptions{Path: with.Paths[0], Root: with.Fingerprint, App: "plain"}, errs.NotFound},
		"the agent":        {operator.OpenOptions{Path: with.Paths[0], Root: with.Fingerprint, App: release.AgentApp}, errs.NotFound},
		"sealed without":   {operator.OpenOptions{Path: without.Paths[0], Root: with.Fingerprint, App: "chat"}, errs.NotFound},
		"another root":     {operator.OpenOptions{Path: with.Paths[0], Root: other, App: "chat"}, errs.Untrusted},
		"no root":          {operator.OpenOptions{Path: with.Paths[0], App: "chat"}, errs.Invalid},
		"there is no file": {operator.OpenOptions{Path: with.Paths[0] + "x", Root: with.Fingerprint}, errs.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := operator.OpenVolume(t.Context(), test.o)
			if err == nil {
				_ = o.Close()
			}
			if errs.KindOf(err) != test.kind {
				t.Errorf("error = %v of kind %v, want %v", err, errs.KindOf(err), test.kind)
			}
		})
	}
}

// A medium that gives other bytes once all of them were checked.
func TestOpenVolumeThatChanges(t *testing.T) {
	p := begin(t)
	promote(t, p, publishFrom(t, p, "wallet", "r1.a", "one", "two"), "live")
	s, _ := seal(t, p, operator.SealOptions{Channel: "live", Inputs: true})
	o, err := operator.OpenVolume(t.Context(), operator.OpenOptions{Path: s.Paths[0], Root: s.Fingerprint})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	d := digest.Of([]byte("two"))
	r, closer, err := o.Volume().Section(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	_, at, _ := r.Outer()
	f, err := os.OpenFile(s.Paths[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("own"), at); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(t.Context(), d); errs.KindOf(err) != errs.Untrusted {
		t.Errorf("a changed blob: %v", err)
	}
}

// Bytes of programs are not all that a release says: with which rights they run, and with which arguments, is no
// part of them. So a release that says more than its commit is not the same.
func TestAReleaseSaysWhatItsCommitSays(t *testing.T) {
	const spec = "overland: 1\nname: wallet\nartifacts: {wallet: {go: ./cmd}}\nservices: {wallet: {artifact: wallet, args: [-x], files: {conf: text}}}\ncommands: {wallet: wallet}\n"
	repo, c := newCommitOf(t, map[string]string{"text": "hello", "overland.yaml": spec})
	honest := appfile.Service{Artifact: "wallet", Runtime: "process", Args: []string{"-x"}, Files: map[string]string{"conf": "text"}}
	as := func(change func(s *appfile.Service)) map[string]appfile.Service {
		s := honest
		change(&s)
		return map[string]appfile.Service{"wallet": s}
	}
	for name, test := range map[string]struct {
		change func(r *release.Release)
		want   string
	}{
		"as it is":          {func(*release.Release) {}, ""},
		"root":              {func(r *release.Release) { r.Services = as(func(s *appfile.Service) { s.User = "root" }) }, "service wallet"},
		"no isolation":      {func(r *release.Release) { r.Services = as(func(s *appfile.Service) { s.Isolation = "none" }) }, "service wallet"},
		"another argument":  {func(r *release.Release) { r.Services = as(func(s *appfile.Service) { s.Args = []string{"-y"} }) }, "service wallet"},
		"a service more":    {func(r *release.Release) { r.Services["more"] = appfile.Service{Artifact: "wallet"} }, "service more"},
		"none":              {func(r *release.Release) { r.Services = nil }, "service wallet"},
		"another command":   {func(r *release.Release) { r.Commands = map[string]string{"ls": "wallet"} }, "command ls"},
		"another yaml":      {func(r *release.Release) { r.Spec = digest.Of(nil) }, "another overland.yaml"},
		"another time":      {func(r *release.Release) { r.CommitTime = noon }, "of 2"},
		"another file name": {func(r *release.Release) { r.Artifacts[0].File = "sudo" }, "sudo"},
	} {
		t.Run(name, func(t *testing.T) {
			one := release.Blob{Digest: digest.Of([]byte("one")), Size: 3}
			r := release.Release{
				App: "wallet", Version: c.Version, Commit: c.Hash, CommitTime: c.Time, Spec: digest.Of([]byte(spec)),
				Services: as(func(*appfile.Service) {}), Commands: map[string]string{"wallet": "wallet"},
				Artifacts: []release.Artifact{{Name: "conf", Platform: "linux/amd64", File: "text", Kind: release.KindFile, Blob: one}},
			}
			test.change(&r)
			list, err := operator.Unlike(t.Context(), &r, repo, c)
			if got := strings.Join(list, "; "); err != nil || (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("says %q, %v", got, err)
			}
		})
	}
	p := begin(t)
	lies := release.Release{App: "wallet", Version: c.Version, Commit: c.Hash, Services: as(func(s *appfile.Service) { s.User = "root" })}
	lies.Artifacts = []release.Artifact{{Name: "conf", Platform: "linux/amd64", File: "text", Kind: release.KindFile, Blob: release.Blob{Digest: digest.Of([]byte("one")), Size: 3}}}
	o, err := p.OpenRelease(t.Context(), publishBuilt(t, p, lies, pack(t, repo, c), "one"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := o.Unpack(t.Context(), filepath.Join(t.TempDir(), "source")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(o.Unlike(), "; "); !strings.Contains(got, "service wallet") {
		t.Errorf("says %q", got)
	}
}

// Sources that are signed and are not what the release says.
func TestUnpackRefusesAnotherSource(t *testing.T) {
	repo, c := newCommit(t, "hello")
	otherRepo, other := newCommit(t, "something else")
	for name, test := range map[string]struct {
		r      release.Release
		source string
		kind   errs.Kind
	}{
		"junk":            {release.Release{Version: c.Version, Commit: c.Hash}, "junk", errs.Untrusted},
		"another commit":  {release.Release{Version: c.Version, Commit: c.Hash}, pack(t, otherRepo, other), errs.Untrusted},
		"another version": {release.Release{Version: "r9.abc", Commit: c.Hash}, pack(t, repo, c), errs.Untrusted},
		"no commit":       {release.Release{Version: "r9.abc"}, pack(t, repo, c), errs.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			p := begin(t)
			test.r.App = "wallet"
			promote(t, p, publishBuilt(t, p, test.r, test.source, "one"), "live")
			s, _ := seal(t, p, operator.SealOptions{Channel: "live", Inputs: true})
			o, err := operator.OpenVolume(t.Context(), operator.OpenOptions{Path: s.Paths[0], Root: s.Fingerprint})
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			if err := o.Unpack(t.Context(), filepath.Join(t.TempDir(), "source")); errs.KindOf(err) != test.kind {
				t.Errorf("error = %v of kind %v, want %v", err, errs.KindOf(err), test.kind)
			}
		})
	}
}
