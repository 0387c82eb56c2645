package operator_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/home"
	"overland/internal/lockfile"
	"overland/internal/operator"
	"overland/internal/operator/holdings"
	"overland/internal/release"
	"overland/internal/store"
)

// keeping returns p's holdings.
func keeping(t *testing.T, p *operator.Operator) *holdings.Holdings {
	t.Helper()
	h, err := p.Holdings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// blob puts text into p's depot, last wanted two days ago.
func blob(t *testing.T, p *operator.Operator, text string) digest.Digest {
	t.Helper()
	d, err := store.PutBytes(t.Context(), p.Depot(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	age(t, p, d)
	return d
}

func age(t *testing.T, p *operator.Operator, list ...digest.Digest) {
	t.Helper()
	for _, d := range list {
		old := time.Now().Add(-48 * time.Hour)
		path := filepath.Join(home.Depot.In(p.Dir()), "blobs", "sha256", d.Encoded())
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// ageAll makes all that is in p's depot old.
func ageAll(t *testing.T, p *operator.Operator) {
	t.Helper()
	err := p.Depot().List(t.Context(), func(d digest.Digest, _ int64) error { age(t, p, d); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, p *operator.Operator, d digest.Digest) bool {
	t.Helper()
	ok, err := store.Has(t.Context(), p.Depot(), d)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func collect(t *testing.T, p *operator.Operator, o holdings.Options) *holdings.Freed {
	t.Helper()
	f, err := keeping(t, p).Collect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func lockOf(t *testing.T, path string, d digest.Digest, size int) {
	t.Helper()
	l := lockfile.New([]lockfile.Entry{{Protocol: "plain", Key: "https://origin.example/x", Status: 200, Blob: d, Size: int64(size)}})
	if err := l.Save(path); err != nil {
		t.Fatal(err)
	}
}

// A collection frees what nothing names, and nothing that a release, a lock, a cache or somebody who
// is at work names.
func TestCollect(t *testing.T) {
	p := begin(t)
	ref := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64")
	orphan, locked, given := blob(t, p, "orphan"), blob(t, p, "locked"), blob(t, p, "given")
	path, given2 := filepath.Join(t.TempDir(), "over land.lock"), filepath.Join(t.TempDir(), "given.lock")
	lockOf(t, path, locked, len("locked"))
	lockOf(t, given2, given, len("given"))
	for range 2 {
		if err := holdings.Note(p.Dir(), path, fsx.FS{}); err != nil {
			t.Fatal(err)
		}
	}
	ageAll(t, p)
	fresh, err := store.PutBytes(t.Context(), p.Depot(), []byte("a build puts this"))
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(home.Builds.In(p.Dir()), "ab", "ab.json")
	if err := os.MkdirAll(filepath.Dir(record), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, []byte(`{"digest":"`+orphan+`"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	o := holdings.Options{Older: 24 * time.Hour, Locks: []string{given2}, DryRun: true}
	for _, dry := range []bool{true, false} {
		o.DryRun = dry
		f := collect(t, p, o)
		if f.Blobs != 1 || f.Bytes != int64(len("orphan")) || f.Results != 1 || f.Kept[holdings.KeptLock].Blobs != 2 || f.Kept[holdings.KeptRecent].Blobs != 1 {
			t.Errorf("dry %v: %+v", dry, f)
		}
		if has(t, p, orphan) != dry || !has(t, p, locked) || !has(t, p, given) || !has(t, p, fresh) {
			t.Errorf("dry %v: orphan %v, locked %v, given %v, fresh %v", dry, has(t, p, orphan), has(t, p, locked), has(t, p, given), has(t, p, fresh))
		}
		if _, err := os.Stat(record); (err == nil) != dry {
			t.Errorf("dry %v: the record of a build: %v", dry, err)
		}
	}
	if _, err := keeping(t, p).Show(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if f := collect(t, p, o); !slices.Equal(f.Gone, []string{path}) || has(t, p, locked) {
		t.Errorf("a lock file that is gone: %+v, its blob is there: %v", f, has(t, p, locked))
	}
	if f := collect(t, p, o); len(f.Gone) != 0 {
		t.Errorf("it is told again: %q", f.Gone)
	}
}

// What cannot be read may name anything: nothing is removed.
func TestCollectStopsAtWhatItCannotRead(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, p *operator.Operator){
		"another's claim": func(t *testing.T, p *operator.Operator) {
			if err := p.Depot().Claim("a room of tomorrow"); err != nil {
				t.Fatal(err)
			}
		},
		"lock": func(t *testing.T, p *operator.Operator) {
			path := filepath.Join(t.TempDir(), "overland.lock")
			if err := errors.Join(os.WriteFile(path, []byte("no lock"), 0o600), holdings.Note(p.Dir(), path, fsx.FS{})); err != nil {
				t.Fatal(err)
			}
		},
		"cache": func(t *testing.T, p *operator.Operator) {
			if err := os.WriteFile(home.CacheIndex.In(p.Dir()), []byte("not a database, but long enough to be taken for one"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"release": func(t *testing.T, p *operator.Operator) {
			ref := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64")
			s, err := keeping(t, p).Show(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(home.Depot.In(p.Dir()), "blobs", "sha256", s.Digest.Encoded())
			if err := errors.Join(os.Chmod(path, 0o644), os.Truncate(path, 10)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		p := begin(t)
		orphan := blob(t, p, "orphan")
		damage(t, p)
		if _, err := keeping(t, p).Collect(t.Context(), holdings.Options{}); err == nil || !has(t, p, orphan) {
			t.Errorf("%s: %v; the orphan is there: %v", name, err, has(t, p, orphan))
		}
	}
}

// A writer who finds a blob in the depot keeps it from a collection that has looked before.
func TestWhatIsWrittenAgainStays(t *testing.T) {
	p := begin(t)
	d := blob(t, p, "again")
	asked := time.Now()
	if _, err := store.PutBytes(t.Context(), p.Depot(), []byte("again")); err != nil {
		t.Fatal(err)
	}
	if gone, err := p.Depot().Retire(d, asked); gone || err != nil {
		t.Errorf("removed: %v, %v", gone, err)
	}
}

// A removal and a collection that stop anywhere leave what is signed whole, and the next one ends it.
func TestRemoveAndCollectStoppedAnywhere(t *testing.T) {
	stop := errors.New("stopped")
	p := begin(t)
	r1, r2 := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64"), publish(t, p, "wallet", "r2.bbbbbbbbbbbb", "linux/amd64")
	promote(t, p, r2, "live")
	orphan := blob(t, p, "orphan")
	ageAll(t, p)
	site := p.Dir()
	const step = 3 // operations: each of them would take seconds
	for after, whole := 0, false; !whole; after += step {
		left := -1 // operations until it stops; -1 = it does not
		o := operator.Options{FS: fsx.FS{Before: func(fsx.Op) error {
			if left == 0 {
				return stop
			}
			left = max(left-1, -1)
			return nil
		}}}
		dir := filepath.Join(t.TempDir(), "site")
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", site, dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		p := open(t, dir, o)
		h := keeping(t, p)
		plan, err := h.Plan(t.Context(), []release.Ref{r1})
		if err != nil {
			t.Fatal(err)
		}
		left = after
		if err = h.Remove(t.Context(), plan); err == nil {
			_, err = h.Collect(t.Context(), holdings.Options{})
		}
		whole = err == nil
		left = -1
		if !whole && !errors.Is(err, stop) {
			t.Fatalf("stopped after %d: %v", after, err)
		}
		again := keeping(t, open(t, p.Dir(), operator.Options{}))
		if plan, err := again.Plan(t.Context(), []release.Ref{r1}); err == nil {
			err = again.Remove(t.Context(), plan)
			if err != nil {
				t.Fatalf("stopped after %d: the next removal: %v", after, err)
			}
		}
		if _, err := again.Collect(t.Context(), holdings.Options{}); err != nil || has(t, p, orphan) {
			t.Fatalf("stopped after %d: the next collection: %v; the orphan is there: %v", after, err, has(t, p, orphan))
		}
		s, err := again.Show(t.Context(), r2)
		if err != nil || s.Problem != "" {
			t.Fatalf("stopped after %d: what is left: %+v, %v", after, s, err)
		}
		if f, err := again.Collect(t.Context(), holdings.Options{}); err != nil || f.Blobs != 0 {
			t.Fatalf("stopped after %d: a third collection: %+v, %v", after, f, err)
		}
	}
}

func TestRemoveRelease(t *testing.T) {
	p := begin(t)
	r1, r2, r3 := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64"), publish(t, p, "wallet", "r2.bbbbbbbbbbbb", "linux/amd64"), publish(t, p, "wallet", "r3.cccccccccccc", "linux/amd64")
	for _, ref := range []release.Ref{r1, r2, r3} {
		promote(t, p, ref, "live")
	}
	h := keeping(t, p)
	for _, ref := range []release.Ref{r3, r2} { // live runs the one and falls back to the other
		if _, err := h.Plan(t.Context(), []release.Ref{r1, ref}); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), "live") {
			t.Errorf("%s: %v", ref, err)
		}
	}
	plan, err := h.Plan(t.Context(), []release.Ref{r1, r1})
	if err != nil || len(plan.Releases) != 1 || plan.Free == 0 || plan.Last || !slices.Equal(plan.Releases[0].Returns, []string{"live can return to it"}) {
		t.Fatalf("%+v, %v", plan, err)
	}
	if err := h.Remove(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Show(t.Context(), r1); errs.KindOf(err) != errs.NotFound {
		t.Errorf("%s is there: %v", r1, err)
	}
	ageAll(t, p)
	if f := collect(t, p, holdings.Options{}); f.Bytes != plan.Free {
		t.Errorf("freed %d bytes, the plan said %d", f.Bytes, plan.Free)
	}
	// The metadata holds, and what is left can be sealed.
	seal(t, p, operator.SealOptions{Channel: "live", Out: filepath.Join(t.TempDir(), "x.volume")})
	if n, err := p.Rollback(t.Context(), "live", "wallet"); err != nil || n.Version != r2.Version {
		t.Errorf("rollback: %+v, %v", n, err)
	}
	if _, err := p.Rollback(t.Context(), "live", "wallet"); errs.KindOf(err) != errs.NotFound {
		t.Errorf("a rollback to what was removed: %v", err)
	}
}

// A promotion between the question and the answer is not overtaken.
func TestRemoveLooksAgain(t *testing.T) {
	p := begin(t)
	r1, _ := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64"), publish(t, p, "wallet", "r2.bbbbbbbbbbbb", "linux/amd64")
	plan, err := keeping(t, p).Plan(t.Context(), []release.Ref{r1})
	if err != nil {
		t.Fatal(err)
	}
	promote(t, p, r1, "live")
	if err := keeping(t, p).Remove(t.Context(), plan); errs.KindOf(err) != errs.Conflict {
		t.Errorf("got %v", err)
	}
	if _, err := keeping(t, p).Show(t.Context(), r1); err != nil {
		t.Error(err)
	}
}

// Removing never gives a name back to a repository that lost it.
func TestRemoveKeepsTheName(t *testing.T) {
	p := begin(t)
	r1 := publish(t, p, "wallet", "r1.aaaaaaaaaaaa", "linux/amd64")
	repo, err := p.Repository(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	desc, err := p.Depot().Resolve(t.Context(), r1.String())
	if err != nil {
		t.Fatal(err)
	}
	other := release.Ref{App: "wallet", Version: "r9.bbbbbbbbbbbb"}
	if _, err := release.Publish(t.Context(), repo, p.Depot(), release.Draft{Ref: other, Index: desc}, release.Origin{Repository: strings.Repeat("b", 40), Take: true}); err != nil {
		t.Fatal(err)
	}
	h := keeping(t, p)
	remove := func(refs ...release.Ref) (*holdings.Removal, error) {
		plan, err := h.Plan(t.Context(), refs)
		if err != nil {
			t.Fatal(err)
		}
		return plan, h.Remove(t.Context(), plan)
	}
	if _, err := remove(other); errs.KindOf(err) != errs.Conflict || errs.HintOf(err) == "" {
		t.Errorf("the name went back: %v", err)
	}
	if plan, err := remove(r1, other); err != nil || !plan.Last {
		t.Errorf("both: %+v, %v", plan, err)
	}
}
