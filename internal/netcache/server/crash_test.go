package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache/server"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/crash"
)

// story adds an entry to a key that has one, an entry to a new key, and a blob.
var story = crash.Scenario{
	Prepare: func(t testing.TB, dir string) {
		s, err := server.OpenIn(dir, fsx.FS{})
		if err == nil {
			err = s.Add(t.Context(), server.RecordOf("k", "old"))
		}
		if err != nil {
			t.Fatal(err)
		}
	},
	Run: func(dir string, f fsx.FS) error {
		s, err := server.OpenIn(dir, f)
		if err != nil {
			return err
		}
		for _, r := range []server.Record{server.RecordOf("k", "new"), server.RecordOf("fresh", "new")} {
			if err := s.Add(context.Background(), r); err != nil {
				return err
			}
		}
		_, _, err = s.PutBlob(context.Background(), strings.NewReader("blob"), "", 4, server.MaxBlob)
		return err
	},
	Check: func(t testing.TB, dir string, completed bool) {
		s, err := server.OpenIn(dir, fsx.FS{})
		if err != nil {
			t.Fatal(err)
		}
		kept, fresh, name := notes(t, s, "k"), notes(t, s, "fresh"), server.NameOf([]byte("blob"))
		if kept != "old" && kept != "new old" || fresh != "" && fresh != "new" {
			t.Errorf("neither before nor after: %q, %q", kept, fresh)
		}
		b, err := s.Open(t.Context(), name)
		if err == nil {
			text, rerr := io.ReadAll(b)
			if b.Close(); rerr != nil || string(text) != "blob" {
				t.Errorf("blob %q, %v", text, rerr)
			}
		} else if errs.KindOf(err) != errs.NotFound {
			t.Error(err)
		}
		if completed && (kept != "new old" || fresh != "new" || err != nil) {
			t.Errorf("said done, and is not: %q, %q, %v", kept, fresh, err)
		}
		// The next one goes on.
		if err := s.Add(t.Context(), server.RecordOf("k", "next")); err != nil {
			t.Error(err)
		}
		if got := notes(t, s, "k"); got != "next "+kept {
			t.Errorf("after the next one: %q", got)
		}
		if _, _, err := s.PutBlob(t.Context(), strings.NewReader("blob"), name, 4, server.MaxBlob); err != nil {
			t.Error(err)
		}
	},
}

func TestStopAnywhere(t *testing.T) { crash.Stop(t, story) }
func TestKillAnywhere(t *testing.T) { crash.Kill(t, story) }

// notes returns the notes of key's entries, in order.
func notes(t testing.TB, s *server.Shelf, key string) string {
	t.Helper()
	list, err := s.List(key)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		t.Fatal(err)
	}
	var got []string
	for _, r := range list {
		var m struct{ Note string }
		if err := json.Unmarshal([]byte(r.Metadata), &m); err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Note)
	}
	return strings.Join(got, " ")
}

// Several processes add to one key and are killed at any moment: what they were told
// is stored is there, and whole.
func TestKillWhileAdding(t *testing.T) {
	dir := t.TempDir()
	var said sync.Map
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			whole, err := crash.Killed(other("add", dir, fmt.Sprint("p", i)), 20+i, nil)
			if err != nil {
				t.Error(err)
			}
			for _, line := range whole {
				said.Store(line, true)
			}
		})
	}
	wait.Wait()
	s, err := server.OpenIn(dir, fsx.FS{})
	if err != nil {
		t.Fatal(err)
	}
	there := " " + notes(t, s, "k") + " "
	said.Range(func(line, _ any) bool {
		if !strings.Contains(there, " "+line.(string)+" ") {
			t.Errorf("%s was acknowledged and is lost", line)
		}
		return true
	})
	if err := s.Add(t.Context(), server.RecordOf("k", "after")); err != nil || !strings.HasPrefix(notes(t, s, "k"), "after p") {
		t.Errorf("the next one: %v", err)
	}
}

// kill -9 in the middle of a blob: nothing of it is visible, and the next
// collection takes the rest away.
func TestKillWhileStoringABlob(t *testing.T) {
	dir := t.TempDir()
	if _, err := crash.Killed(other("blob", dir, ""), 1, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := server.OpenIn(dir, fsx.FS{}); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"netcache/sha512", "depot/blobs/sha256"} {
		if list, err := os.ReadDir(filepath.Join(dir, sub)); err != nil || len(list) != 0 {
			t.Errorf("%s: %v, %v", sub, list, err)
		}
	}
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := depot.Collect(t.Context(), nil, store.ClaimNetcache); err != nil {
		t.Fatal(err)
	}
	clean(t, dir)
}

// A torn or damaged line hides nothing but itself, and the next entry is whole.
func TestDamagedLines(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"torn":    func(b []byte) []byte { return b[:len(b)-7] },
		"zeros":   func(b []byte) []byte { return append(b[:len(b)-50], make([]byte, 50)...) },
		"flipped": func(b []byte) []byte { b[len(b)-20] ^= 1; return b },
		"garbage": func(b []byte) []byte { return append(b, "\n\n00000000 {}\nxx"...) },
		"another key": func(b []byte) []byte { // a file that was put in the place of this one
			line, err := server.RecordOf("other", "x").Line()
			if err != nil {
				t.Fatal(err)
			}
			return append(b, line...)
		},
	} {
		s := server.NewShelf(t)
		for _, note := range []string{"1", "2", "3"} {
			if err := s.Add(t.Context(), server.RecordOf("k", note)); err != nil {
				t.Fatal(err)
			}
		}
		path := s.ListPath("k")
		b, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, damage(b), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := "2 1"
		if name == "garbage" || name == "another key" {
			want = "3 2 1"
		}
		if got := notes(t, s, "k"); got != want {
			t.Errorf("%s: %q", name, got)
		}
		if err := s.Add(t.Context(), server.RecordOf("k", "4")); err != nil {
			t.Fatal(err)
		}
		if got := notes(t, s, "k"); got != "4 "+want {
			t.Errorf("%s: %q after the next", name, got)
		}
	}
}

// Entries that are put again and again do not fill the disk.
func TestRepeatedEntriesAreCollected(t *testing.T) {
	s := server.NewShelf(t)
	long := strings.Repeat("x", 10<<10)
	for range 30 {
		for _, note := range []string{long + "a", long + "b"} {
			if err := s.Add(t.Context(), server.RecordOf("k", note)); err != nil {
				t.Fatal(err)
			}
		}
	}
	info, err := os.Stat(s.ListPath("k"))
	if err != nil || info.Size() > server.WasteLimit+6*int64(len(long)) {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	if got := notes(t, s, "k"); got != long+"b "+long+"a" {
		t.Errorf("%d bytes of notes", len(got))
	}
}

func FuzzPolicy(f *testing.F) {
	f.Add(`{"open":true}`)
	f.Add(`{"accounts":[{"name":"a","identity":"` + strings.Repeat("ab", 32) + `","prefixes":["pypi:"]}],"requireKnownSigner":true}`)
	f.Add(`{"signers":"-----BEGIN PRIVATE KEY-----"}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := server.ParsePolicy(strings.NewReader(text))
		if err != nil && (errs.KindOf(err) != errs.Invalid || p.Open || len(p.Accounts) > 0) {
			t.Errorf("%v, %+v", err, p)
		}
	})
}
