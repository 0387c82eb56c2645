package trusttest

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"sync"
	"testing"

	"overland/internal/errs"
	"overland/internal/trust"
	"overland/internal/trust/repository"
)

const (
	one   = "1.root.json"
	two   = "3.app%2Fwallet.json"
	stamp = "timestamp.json"
	await = repository.StagedDir + "4.channel%2Flive.json"
)

// Files is the contract of repository.Files. open returns one more handle to the same
// files, which are empty at first.
func Files(t *testing.T, open func(t *testing.T) func() repository.Files) {
	t.Run("empty", func(t *testing.T) { empty(t, open(t)()) })
	t.Run("commit", func(t *testing.T) { commit(t, open(t)) })
	t.Run("limit", func(t *testing.T) { limit(t, open(t)()) })
	t.Run("moved", func(t *testing.T) { moved(t, open(t)) })
	t.Run("every change is another revision", func(t *testing.T) { revisions(t, open(t)()) })
	t.Run("writers at once", func(t *testing.T) { writers(t, open(t)) })
}

// must commits changes to f at its newest revision.
func must(t *testing.T, f repository.Files, changes ...repository.Change) repository.Revision {
	t.Helper()
	_, base, err := f.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rev, err := f.Commit(t.Context(), base, changes)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func put(name, text string) repository.Change {
	return repository.Change{Name: name, Data: []byte(text)}
}

func empty(t *testing.T, f repository.Files) {
	names, _, err := f.List(t.Context())
	if err != nil || len(names) > 0 {
		t.Errorf("%v, %v; want no names", names, err)
	}
	for _, name := range []string{one, stamp, await, "x", "", "..", "../seen.json"} {
		if b, err := f.Read(t.Context(), name, 1<<20); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %q, %v; want fs.ErrNotExist", name, b, err)
		}
	}
}

func commit(t *testing.T, open func() repository.Files) {
	f := open()
	rev := must(t, f, put(one, "root"), put(two, "wallet"), put(await, "waits"), put(stamp, "stamp"))
	names, at, err := open().List(t.Context())
	slices.Sort(names)
	if want := []string{one, two, await, stamp}; err != nil || !slices.Equal(names, want) || at != rev {
		t.Errorf("names %q at %s, %v; want %q at %s", names, at, err, want, rev)
	}
	if b, err := open().Read(t.Context(), await, 1<<20); err != nil || string(b) != "waits" {
		t.Errorf("%q, %v", b, err)
	}
	// Removing what is not there is no error, and a file may be put again.
	must(t, f, repository.Change{Name: await}, repository.Change{Name: repository.StagedDir + "9.root.json"}, put(stamp, "later"))
	if b, err := f.Read(t.Context(), stamp, 1<<20); err != nil || string(b) != "later" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := f.Read(t.Context(), await, 1<<20); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v; want fs.ErrNotExist", err)
	}
}

func limit(t *testing.T, f repository.Files) {
	must(t, f, put(stamp, "0123456789"))
	if b, err := f.Read(t.Context(), stamp, 10); err != nil || len(b) != 10 {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := f.Read(t.Context(), stamp, 9); !errors.Is(err, trust.ErrTooLarge) {
		t.Errorf("%q, %v; want trust.ErrTooLarge", b, err)
	}
}

func moved(t *testing.T, open func() repository.Files) {
	f, other := open(), open()
	_, base, err := f.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rev := must(t, other, put(stamp, "other"))
	_, err = f.Commit(t.Context(), base, []repository.Change{put(one, "mine"), put(stamp, "mine")})
	if !errors.Is(err, repository.ErrMoved) || errs.KindOf(err) != errs.Conflict {
		t.Errorf("%v; want ErrMoved", err)
	}
	names, at, err := f.List(t.Context())
	if err != nil || at != rev || !slices.Equal(names, []string{stamp}) {
		t.Errorf("%q at %s, %v; want nothing written", names, at, err)
	}
	if b, err := f.Read(t.Context(), stamp, 1<<20); err != nil || string(b) != "other" {
		t.Errorf("%q, %v", b, err)
	}
}

func revisions(t *testing.T, f repository.Files) {
	seen := map[repository.Revision]bool{}
	check := func(what string, changes ...repository.Change) {
		t.Helper()
		rev := must(t, f, changes...)
		if seen[rev] {
			t.Errorf("%s: a revision that was before", what)
		}
		seen[rev] = true
		if _, at, err := f.List(t.Context()); err != nil || at != rev {
			t.Errorf("%s: listed at %s, %v; want %s", what, at, err, rev)
		}
	}
	for i := range 5 {
		check("another number", put(strconv.Itoa(i+1)+".root.json", "same"))
		check("the timestamp", put(stamp, "equally long "+strconv.Itoa(i)))
		check("staged", put(await, "equally long "+strconv.Itoa(i)))
	}
	check("removed", repository.Change{Name: await})
}

// writers lets several writers count, each with its own handle: no count is lost.
func writers(t *testing.T, open func() repository.Files) {
	const count, each = 4, 10
	must(t, open(), put(stamp, "0"))
	var wait sync.WaitGroup
	for range count {
		wait.Go(func() {
			f := open()
			for range each {
				if err := increment(t, f); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if b, err := open().Read(t.Context(), stamp, 1<<20); err != nil || string(b) != strconv.Itoa(count*each) {
		t.Errorf("counted to %s, %v; want %d", b, err, count*each)
	}
}

func increment(t *testing.T, f repository.Files) error {
	for {
		_, base, err := f.List(t.Context())
		if err != nil {
			return err
		}
		b, err := f.Read(t.Context(), stamp, 1<<20)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(b))
		if err != nil {
			return err
		}
		_, err = f.Commit(t.Context(), base, []repository.Change{put(stamp, strconv.Itoa(n+1))})
		if !errors.Is(err, repository.ErrMoved) {
			return err
		}
	}
}

// Keys is the contract of repository.Keys. open returns one without keys.
func Keys(t *testing.T, open func(t *testing.T) repository.Keys) {
	t.Run("sign", func(t *testing.T) { signs(t, open(t)) })
	t.Run("names", func(t *testing.T) { names(t, open(t)) })
	t.Run("retire", func(t *testing.T) { retires(t, open(t)) })
	t.Run("made at once", func(t *testing.T) { madeAtOnce(t, open(t)) })
}

func newKey(t *testing.T, k repository.Keys, name string) trust.PublicKey {
	t.Helper()
	pub, err := k.New(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

func signs(t *testing.T, k repository.Keys) {
	pub := newKey(t, k, "root")
	s, err := k.ByID(pub.ID)
	if err != nil || s == nil {
		t.Fatalf("%v, %v", s, err)
	}
	message := []byte("message")
	sig, err := s.Sign(message)
	if err != nil || !ed25519.Verify(pub.Key, message, sig) || s.Public().ID != pub.ID {
		t.Errorf("%v: the signature does not verify", err)
	}
	if s, err := k.ByID("nobody"); s != nil || err != nil {
		t.Errorf("a signer for an unknown key: %v, %v", s, err)
	}
}

func names(t *testing.T, k repository.Keys) {
	if list, err := k.List(); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := k.Public("root"); errs.KindOf(err) != errs.NotFound || errs.HintOf(err) == "" {
		t.Errorf("%v; want not found, with a hint", err)
	}
	b, a := newKey(t, k, "b"), newKey(t, k, "a")
	list, err := k.List()
	want := []trust.KeyInfo{{Name: "a", ID: a.ID, Private: true}, {Name: "b", ID: b.ID, Private: true}}
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%+v, %v; want %+v", list, err, want)
	}
	if _, err := k.New("a", nil); errs.KindOf(err) != errs.Conflict {
		t.Errorf("%v; want a conflict", err)
	}
	if pub, err := k.Public("a"); err != nil || pub.ID != a.ID {
		t.Errorf("%v, %v", pub, err)
	}
}

func retires(t *testing.T, k repository.Keys) {
	old := newKey(t, k, "online")
	next, err := k.Successor("online", nil)
	if err != nil || next.ID == old.ID {
		t.Fatalf("%v, %v", next, err)
	}
	if again, err := k.Successor("online", nil); err != nil || again.ID != next.ID {
		t.Errorf("another successor: %v, %v", again, err)
	}
	for range 2 { // it may be repeated
		if err := k.Retire("online", old); err != nil {
			t.Fatal(err)
		}
		if pub, err := k.Public("online"); err != nil || pub.ID != next.ID {
			t.Errorf("%v, %v", pub, err)
		}
	}
	if s, err := k.ByID(old.ID); s != nil || err != nil {
		t.Errorf("a retired key still signs: %v, %v", s, err)
	}
	if s, err := k.ByID(next.ID); s == nil || err != nil {
		t.Errorf("the successor does not sign: %v", err)
	}
}

// madeAtOnce makes one key several times at the same moment: all find the same one, and it signs.
func madeAtOnce(t *testing.T, k repository.Keys) {
	for i := range 5 {
		name := fmt.Sprintf("key-%d", i)
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				if _, err := k.New(name, nil); err != nil && errs.KindOf(err) != errs.Conflict {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		pub, err := k.Public(name)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := k.ByID(pub.ID); err != nil || s == nil {
			t.Errorf("%v, %v", s, err)
		}
	}
}
