package builder

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

func TestCancelWhileAnotherBuilds(t *testing.T) {
	c := cache{dir: filepath.Join(t.TempDir(), "builds")}
	key := digest.Of([]byte("x"))
	held, err := c.lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.lock(ctx, key); errs.KindOf(err) != errs.Cancelled {
		t.Errorf("error %v, want Cancelled", err)
	}
}

// TestRecordSurvivesACrash stops after every change of the disk: a record is whole or not there.
func TestRecordSurvivesACrash(t *testing.T) {
	key := digest.Of([]byte("recipe"))
	blob := digest.Of([]byte("blob"))
	want := record{Digest: blob, Size: 4, Toolchain: "go1.26.8", Parts: []digest.Digest{key}, Beside: 4}
	crash := errors.New("crash")
	for stop := 1; ; stop++ {
		n := 0
		c := cache{dir: t.TempDir(), fs: fsx.FS{Before: func(fsx.Op) error {
			if n++; n >= stop {
				return crash
			}
			return nil
		}}}
		err := c.put(key, want)
		b, readErr := os.ReadFile(c.path(key))
		got, ok := readRecord(b, func(digest.Digest) (int64, error) { return 4, nil })
		switch {
		case err == nil && (!ok || !cmp.Equal(got, want)):
			t.Fatalf("written, but got %+v, %v", got, ok)
		case err == nil:
			if stop < 5 {
				t.Fatalf("only %d changes of the disk: the hook is not used", stop-1)
			}
			return
		case readErr == nil && !ok:
			t.Errorf("after %d changes: a half record %q", stop-1, b)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"digest":"sha256:` + strings.Repeat("a", 64) + `","size":1,"toolchain":"go1.26.8","inputs":{"recipe":{"settings":[1]}}}`))
	f.Add([]byte(`{"digest":"sha256:../..","size":-1}`))
	f.Add([]byte(`{"digest":"sha256:` + strings.Repeat("a", 64) + `","size":1,"toolchain":"x","parts":["sha256:` + strings.Repeat("b", 64) + `"]}`))
	f.Add([]byte(`{"digest":"sha256:` + strings.Repeat("a", 64) + `","size":1,"toolchain":"x","parts":["sha256:../.."]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var asked []digest.Digest
		r, ok := readRecord(b, func(d digest.Digest) (int64, error) { asked = append(asked, d); return 1, nil })
		if !ok {
			return
		}
		want := append([]digest.Digest{r.Digest}, r.Parts...)
		if !slices.Equal(asked, want) || r.Size != 1 || r.Size+r.Beside != int64(len(want)) {
			t.Errorf("accepted %+v", r)
		}
		for _, d := range asked {
			if _, err := digest.Parse(string(d)); err != nil {
				t.Errorf("asked for %q", d)
			}
		}
	})
}
