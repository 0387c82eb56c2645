package fetch_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/fsx"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
	"overland/internal/testkit/badlink"
)

func TestDiskFullSaysSoAndGoesOnLater(t *testing.T) {
	body := random(27, 4*mib)
	b, list := withChunks(t, body)
	link := behind(t, badlink.Faults{}, body, list)
	dir := t.TempDir()
	written := 0
	full := fsx.FS{Before: func(op fsx.Op) error {
		if op.Name == "write" && strings.HasSuffix(op.Path, ".part") {
			if written++; written > 100 {
				return syscall.ENOSPC
			}
		}
		return nil
	}}
	err := fetch.New(openStore(t, dir, storedir.Options{FS: full}), quick(link.src)).Fetch(t.Context(), b)
	if errs.KindOf(err) != errs.Unavailable || !fsx.IsFull(err) || !strings.Contains(errs.HintOf(err), "free") {
		t.Fatalf("got %v (%v, hint %q), want a full disk", err, errs.KindOf(err), errs.HintOf(err))
	}
	if written != 101 {
		t.Errorf("%d writes, want no retry of a full disk", written)
	}
	before := link.Counts().Down
	s := openStore(t, dir, storedir.Options{})
	if err := fetch.New(s, quick(link.src)).Fetch(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	want(t, s, body)
	if second := link.Counts().Down - before; second > b.Size*6/10+mib {
		t.Errorf("moved %d bytes the second time, want only the rest", second)
	}
}

func TestNoRoomIsKnownBeforeTheFirstByte(t *testing.T) {
	body := random(28, 1000)
	src := having("source", nil, body)
	s := openStore(t, t.TempDir(), storedir.Options{Reserve: 1 << 60})
	err := fetch.New(s, quick(src)).Fetch(t.Context(), plainBlob(body))
	if errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" || src.asked() != 0 {
		t.Errorf("got %v (asked %d times), want no room, unasked", err, src.asked())
	}
}

func TestASpoiledPartialIsFoundAndMended(t *testing.T) {
	body := random(29, 5*mib+1)
	b, list := withChunks(t, body)
	for _, c := range []struct {
		name  string
		b     fetch.Blob
		keep  int
		spoil []int
		most  int64 // bytes the second call may move
	}{
		{"zeros in the third chunk", b, 4*mib + 5, []int{2*mib + 9}, 3*mib + 1},
		{"zeros in the unfinished chunk", b, 2*mib + 500, []int{2*mib + 9}, 5 * mib},
		{"all there, nothing wrong", b, 5*mib + 1, nil, 0},
		{"no chunk list", plainBlob(body), 3 * mib, []int{9}, 8 * mib},
		{"no chunk list, all there", plainBlob(body), 5*mib + 1, []int{9}, 6 * mib},
		{"no chunk list, all there, nothing wrong", plainBlob(body), 5*mib + 1, nil, 0},
		{"unknown size, all there, nothing wrong", fetch.Blob{Digest: b.Digest, Size: -1}, 5*mib + 1, nil, 0},
		{"unknown size, too much there", fetch.Blob{Digest: b.Digest, Size: -1}, 5*mib + 900, nil, 6 * mib},
	} {
		t.Run(c.name, func(t *testing.T) {
			link := behind(t, badlink.Faults{}, body, list)
			s := newStore(t)
			in, err := store.Resume(t.Context(), s, c.b.Digest, -1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Write(flip(c.spoil...)(append(bytes.Clone(body), make([]byte, mib)...))[:c.keep]); err != nil {
				t.Fatal(err)
			}
			if err := in.Close(); err != nil {
				t.Fatal(err)
			}
			var moved int64
			o := quick(link.src)
			o.Liar = func(e *fetch.SourceError) { t.Errorf("accused %v of what the disk did", e) }
			o.Progress = func(e fetch.Event) {
				if e.Digest == b.Digest {
					moved = e.Moved
				}
			}
			if err := fetch.New(s, o).Fetch(t.Context(), c.b); err != nil {
				t.Fatal(err)
			}
			want(t, s, body)
			if moved > c.most {
				t.Errorf("moved %d bytes, want at most %d", moved, c.most)
			}
		})
	}
}

func TestDir(t *testing.T) {
	body := random(36, 2*mib+1)
	b, list := withChunks(t, body)
	for _, layout := range []string{".", "depot"} {
		dir := t.TempDir()
		from := openStore(t, filepath.Join(dir, layout), storedir.Options{})
		for _, p := range [][]byte{body, list} {
			if _, err := store.PutBytes(t.Context(), from, p); err != nil {
				t.Fatal(err)
			}
		}
		trust := filepath.Join(dir, "trust")
		if err := os.Mkdir(trust, 0o755); err != nil {
			t.Fatal(err)
		}
		name := "3.app%2Fwallet.json"
		if err := os.WriteFile(filepath.Join(trust, name), []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/etc/passwd", filepath.Join(trust, "out.json")); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(filepath.Join(trust, "pipe.json"), 0o644); err != nil {
			t.Fatal(err)
		}
		src, err := fetch.Dir(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := newStore(t)
		if err := fetch.New(s, quick(src)).Fetch(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		want(t, s, body)
		if storetest.Has(t, s, b.Chunks) {
			t.Error("a local source was read by a chunk list: everything is hashed twice")
		}
		if got, err := src.Metadata(t.Context(), name, 10); err != nil || string(got) != "{}" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if _, err := src.Metadata(t.Context(), "timestamp.json", 10); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want ErrNotExist", err)
		}
		for _, name := range []string{"out.json", "pipe.json", "../trust/x.json", "", ".json", strings.Repeat("x", 300) + ".json"} {
			if got, err := src.Metadata(t.Context(), name, 1<<20); err == nil {
				t.Errorf("%q gave %q", name, got)
			}
		}
		if _, err := src.Metadata(t.Context(), name, 1); err == nil {
			t.Error("the limit does not hold")
		}
	}
	if _, err := fetch.Dir(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v, want ErrNotExist", err)
	}
}
