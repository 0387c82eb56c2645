package volume

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/deflate"
	"overland/internal/errs"
	"overland/internal/fsx"
)

// failing returns an FS whose nth operation fails with err, and all after it when dead is set:
// nothing more happens, as after kill -9. count is how many operations were asked for.
func failing(n int, err error, dead bool, count *int) fsx.FS {
	return fsx.FS{Before: func(fsx.Op) error {
		*count++
		if *count == n || dead && *count > n {
			return err
		}
		return nil
	}}
}

var errDead = errors.New("the process is dead")

// Whatever operation fails, a volume is the old one or the new one; a later attempt succeeds.
func TestSealFailsAnywhere(t *testing.T) {
	t.Parallel()
	pack := Options{Pack: deflate.NewWriter} // some of it; noise stays as it is
	old, next := small(t), small(t)
	next.add("application/octet-stream", noise(100_000, 9))
	want := map[string][]byte{"old": read(t, old.seal(t, pack)), "new": read(t, next.seal(t, pack))}
	for _, c := range []struct {
		err  error
		dead bool
		kind errs.Kind
	}{{syscall.ENOSPC, false, errs.Unavailable}, {errDead, true, errs.Internal}} {
		t.Run(fmt.Sprint(c.err), func(t *testing.T) {
			for n := 1; ; n++ {
				dir := t.TempDir()
				path := filepath.Join(dir, "v")
				if _, err := Seal(t.Context(), path, old.Content, pack); err != nil {
					t.Fatal(err)
				}
				count := 0
				_, err := Seal(t.Context(), path, next.Content, Options{Pack: pack.Pack, FS: failing(n, c.err, c.dead, &count)})
				if err == nil {
					t.Logf("%d operations tried", n-1)
					return
				}
				if got := errs.KindOf(err); got != c.kind {
					t.Errorf("operation %d: %v: %v, want %v", n, err, got, c.kind)
				}
				if b := read(t, path); !bytes.Equal(b, want["old"]) && !bytes.Equal(b, want["new"]) {
					t.Fatalf("operation %d: neither the old nor the new volume", n)
				}
				if _, err := Seal(t.Context(), path, next.Content, pack); err != nil || !bytes.Equal(read(t, path), want["new"]) {
					t.Fatalf("operation %d: the next attempt: %v", n, err)
				}
			}
		})
	}
}

// Parts are not replaced in one step; so whatever fails, what is there is the old
// volume, the new one, or refused.
func TestSealPartsFailsAnywhere(t *testing.T) {
	t.Parallel()
	old, next := small(t), small(t)
	next.add("application/octet-stream", noise(5000, 9))
	accepted, rejected := 0, 0
	for n := 1; ; n++ {
		path := filepath.Join(t.TempDir(), "v")
		if _, err := Seal(t.Context(), path, old.Content, Options{Split: stubSize}); err != nil {
			t.Fatal(err)
		}
		was := open(t, path).Digest()
		count := 0
		info, err := Seal(t.Context(), path, next.Content, Options{Split: stubSize, FS: failing(n, syscall.ENOSPC, false, &count)})
		if err == nil {
			t.Logf("%d operations tried: %d whole, %d refused", n-1, accepted, rejected)
			return
		}
		if v, err := Open(path); err != nil {
			rejected++
			if errs.KindOf(err) != errs.Untrusted && errs.KindOf(err) != errs.NotFound {
				t.Errorf("operation %d: %v", n, err)
			}
		} else {
			accepted++
			if err := v.Verify(t.Context(), nil); err != nil || (v.Digest() != was && v.Digest() != info.Digest) {
				// info is empty on failure; a volume that verifies and is not
				// the old one must be the new one
				if err != nil || len(v.Entries()) != len(open(t, next.seal(t, Options{})).Entries()) {
					t.Errorf("operation %d: %v", n, err)
				}
			}
			v.Close()
		}
		if _, err := Seal(t.Context(), path, next.Content, Options{Split: stubSize}); err != nil {
			t.Fatalf("operation %d: the next attempt: %v", n, err)
		}
		if err := check(t, path); err != nil {
			t.Fatalf("operation %d: the next attempt: %v", n, err)
		}
	}
}

func TestExtractFailsAnywhere(t *testing.T) {
	t.Parallel()
	v := open(t, small(t).seal(t, Options{}))
	for _, dead := range []bool{false, true} {
		for n := 1; ; n++ {
			parent := t.TempDir()
			dir := filepath.Join(parent, "out")
			count := 0
			err := v.Extract(t.Context(), dir, failing(n, syscall.ENOSPC, dead, &count))
			if err == nil {
				t.Logf("%d operations tried", n-1)
				break
			}
			if errs.KindOf(err) != errs.Unavailable {
				t.Errorf("operation %d: %v", n, err)
			}
			if _, err := os.Stat(dir); err == nil { // all of it, or nothing
				for _, e := range v.Entries() {
					if int64(len(read(t, filepath.Join(dir, e.Name)))) != e.Size {
						t.Fatalf("operation %d: half of it is visible", n)
					}
				}
				continue
			}
			if err := v.Extract(t.Context(), dir, fsx.FS{}); err != nil {
				t.Fatalf("operation %d: the next attempt: %v", n, err)
			}
		}
	}
}

// Temporary files of a sealer that was killed are removed by the next
// one; those of one at work are not.
func TestSealSweeps(t *testing.T) {
	f := small(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "v")
	for _, name := range []string{".v.tmp-1", ".v.002.tmp-2", ".other.tmp-3", ".v.tmp-4"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := fsx.FS{}.OpenFile(filepath.Join(dir, ".v.tmp-4"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.TryLock(); err != nil {
		t.Fatal(err)
	}
	if _, err := Seal(t.Context(), path, f.Content, Options{}); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != ".other.tmp-3 .v.tmp-4 v" {
		t.Errorf("there is %s", got)
	}
}
