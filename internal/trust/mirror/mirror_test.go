package mirror_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"overland/internal/clock"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/testkit/attack"
	"overland/internal/trust"
	"overland/internal/trust/client"
	"overland/internal/trust/mirror"
)

// victim is a node that trusts a publisher, and its clock.
type victim struct {
	*client.Client
	t   *testing.T
	now time.Time
}

func newVictim(t *testing.T, p *attack.Publisher) *victim {
	t.Helper()
	v := &victim{t: t, now: p.Now}
	var err error
	v.Client, err = client.Open(t.TempDir(), client.Options{Clock: func() time.Time { return v.now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.PinRoot(t.Context(), p.Files()["1.root.json"]); err != nil {
		t.Fatal(err)
	}
	return v
}

func (v *victim) accepts(src trust.MetadataSource) {
	v.t.Helper()
	if _, err := v.Refresh(v.t.Context(), src, client.RefreshOptions{}); err != nil {
		v.t.Fatalf("refused what is right: %v", err)
	}
}

func (v *victim) refuses(src trust.MetadataSource, want error) {
	v.t.Helper()
	_, err := v.Refresh(v.t.Context(), src, client.RefreshOptions{})
	if !errors.Is(err, want) || errs.KindOf(err) != errs.Untrusted {
		v.t.Fatalf("got error %v, want %v", err, want)
	}
}

func (v *victim) says(path, content string) {
	v.t.Helper()
	got, err := v.Target(v.t.Context(), path)
	if err != nil || got.Digest != digest.Of([]byte(content)) || got.Size != int64(len(content)) {
		v.t.Fatalf("target %s: %+v, %v; want that of %q", path, got, err, content)
	}
}

// mirrorOf returns a mirror that has p's newest root pinned, and its clock at the moment at.
func mirrorOf(t *testing.T, dir string, p *attack.Publisher, at time.Time) *mirror.Mirror {
	t.Helper()
	m, err := mirror.Open(dir, client.Options{Clock: clock.At(at)})
	if err != nil {
		t.Fatal(err)
	}
	if m.Pinned() {
		return m
	}
	b, err := p.Metadata(t.Context(), trust.WireName("root", p.Root.Signed.Version), trust.MaxRoot)
	if err != nil {
		t.Fatal(err)
	}
	fp, err := trust.FingerprintOf(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Pin(t.Context(), p, fp); err != nil {
		t.Fatal(err)
	}
	return m
}

func published(t *testing.T) *attack.Publisher {
	p := attack.New(time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC))
	p.Delegate("targets", "app/a", "a/*")
	p.Put("app/a", "a/1", "one")
	p.Publish("targets", "app/a")
	return p
}

// A node that reads from a mirror finds what it finds at the source, also one that was installed
// before a rotation of the root that the mirror was pinned to.
func TestAMirrorHandsOn(t *testing.T) {
	p := published(t)
	old := newVictim(t, p)
	p.Signers["root"] = append(p.Replace("root", attack.NewKey()), p.Signers["root"]...)
	p.PublishRoot()
	m := mirrorOf(t, t.TempDir(), p, p.Now)
	if _, err := m.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	old.accepts(m)
	old.says("a/1", "one")

	p.Put("app/a", "a/1", "two")
	p.Publish("app/a")
	p.Requests()   // forgets them
	old.accepts(m) // what the mirror has not taken over is not there yet
	old.says("a/1", "one")
	if asked := p.Requests(); len(asked) > 0 {
		t.Errorf("the source was asked for %v", asked)
	}
	if _, err := m.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	old.accepts(m)
	old.says("a/1", "two")
}

// Whether metadata is fresh is for the node: a mirror with a clock that is
// wrong by years still hands it on.
func TestAMirrorDoesNotJudgeFreshness(t *testing.T) {
	p := published(t)
	m := mirrorOf(t, t.TempDir(), p, p.Now.AddDate(70, 0, 0))
	if _, err := m.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	newVictim(t, p).accepts(m)
	late := newVictim(t, p)
	late.now = p.Now.AddDate(1, 0, 0)
	late.refuses(m, trust.ErrExpired)
}

func TestAMirrorRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(p *attack.Publisher)
		want  error
	}{
		"rollback": {func(p *attack.Publisher) { p.Timestamp.Signed.Version = 0; p.PublishTimestamp() }, trust.ErrRollback},
		"a page": {func(p *attack.Publisher) {
			p.Serve = func(name string, b []byte) ([]byte, error) {
				if name == "timestamp.json" {
					return []byte("<html>log in</html>"), nil
				}
				return b, nil
			}
		}, trust.ErrMismatch},
		"another's signature": {func(p *attack.Publisher) {
			p.Signers["timestamp"] = []attack.Key{attack.NewKey()}
			p.PublishTimestamp()
		}, trust.ErrSignature},
		"targets that are not signed": {func(p *attack.Publisher) {
			p.Signers["targets"] = []attack.Key{attack.NewKey()}
			p.Publish("targets")
		}, trust.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			p := published(t)
			dir := t.TempDir()
			m := mirrorOf(t, dir, p, p.Now)
			if _, err := m.Update(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			want, err := m.Metadata(t.Context(), "timestamp.json", trust.MaxTimestamp)
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(p)
			m = mirrorOf(t, dir, p, p.Now) // a restart forgets nothing
			if _, err := m.Update(t.Context(), p); !errors.Is(err, c.want) || errs.KindOf(err) != errs.Untrusted {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if got, err := m.Metadata(t.Context(), "timestamp.json", trust.MaxTimestamp); err != nil || string(got) != string(want) {
				t.Errorf("handed on: %q, %v", got, err)
			}
			newVictim(t, p).accepts(m)
		})
	}
}

// What is not signed is never handed on, and the other applications' news are.
func TestS16AMirrorHandsOnTheOthers(t *testing.T) {
	p := published(t)
	p.Delegate("targets", "app/b", "b/*")
	p.Put("app/b", "b/1", "one")
	p.Publish("targets", "app/b")
	m := mirrorOf(t, t.TempDir(), p, p.Now)
	if _, err := m.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Signers["app/a"] = []attack.Key{attack.NewKey()}
	p.Put("app/b", "b/2", "two")
	p.Publish("app/a", "app/b")
	if _, err := m.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if b, err := m.Metadata(t.Context(), trust.WireName("app/a", 2), trust.MaxTargets); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("handed on: %q, %v", b, err)
	}
	v := newVictim(t, p)
	v.accepts(m)
	v.says("b/2", "two")
}

// Whoever may sign for one app can neither stop the others nor make a mirror ask
// for the same thing without end.
func TestAMirrorAsksOnceForWhatIsDelegatedWrongly(t *testing.T) {
	p := published(t)
	p.Delegate("app/a", "bins", "a/b/*")
	p.Signers["bins"] = []attack.Key{attack.NewKey()}
	d := p.Roles["app/a"].Signed.Delegations
	for range 100 {
		d.Roles = append(d.Roles, d.Roles[0])
	}
	p.Publish("bins", "app/a")
	m := mirrorOf(t, t.TempDir(), p, p.Now)
	p.Requests()
	if _, err := m.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	asked := map[string]int{}
	for _, name := range p.Requests() {
		asked[name]++
	}
	if n := asked[trust.WireName("bins", 1)]; n != 1 {
		t.Errorf("asked %d times", n)
	}
	newVictim(t, p).accepts(m)
}

func TestAMirrorHasOnlyMetadata(t *testing.T) {
	p := published(t)
	dir := t.TempDir()
	m := mirrorOf(t, dir, p, p.Now)
	for range 3 * mirror.OldFiles {
		p.Publish("app/a")
		if _, err := m.Update(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"../seen.a", "..%2Fseen.json", "/etc/passwd", "", "x"} {
		if b, err := m.Metadata(context.Background(), name, trust.MaxRoot); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %q, %v", name, b, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, mirror.FilesDir, "*"))
	if err != nil || len(files) > 3*mirror.OldFiles+2 {
		t.Errorf("%d files, %v", len(files), err)
	}
}
