package storetest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

func begin(t *testing.T, s store.Store, id string, size int64) store.Upload {
	t.Helper()
	u, err := s.Begin(t.Context(), id, size)
	fatal(t, err)
	return u
}

func write(t *testing.T, u store.Upload, b []byte) {
	t.Helper()
	_, err := u.Write(b)
	fatal(t, err)
}

// upload is written by several processes, one after the other, of which none but the last knows the
// digest.
func upload(t *testing.T, h Harness) {
	again := h.New(t)
	b := Noise(1<<20+5, 1)
	const id = "0123-anything"
	for _, upto := range []int{0, 1, 1 << 19, 1 << 20} {
		u := begin(t, again(), id, -1)
		write(t, u, b[u.Offset():upto])
		if u.Offset() != int64(upto) {
			t.Fatalf("offset %d, want %d", u.Offset(), upto)
		}
		fatal(t, errors.Join(u.Sync(), u.Close()))
	}
	s := again()
	u := begin(t, s, id, -1)
	if n, err := io.Copy(u, bytes.NewReader(b[u.Offset():])); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if Has(t, s, digest.Of(b)) {
		t.Error("visible before Commit")
	}
	if d, err := u.Digest(t.Context()); d != digest.Of(b) || err != nil {
		t.Errorf("its bytes are %s, %v", d, err)
	}
	fatal(t, errors.Join(u.Commit(t.Context(), digest.Of(b)), u.Close(), u.Discard()))
	want(t, again(), b)
	u = begin(t, s, id, -1)
	if u.Offset() != 0 {
		t.Errorf("after Commit the upload still has %d bytes", u.Offset())
	}
	write(t, u, b)
	fatal(t, u.Commit(t.Context(), digest.Of(b))) // what is there already
	u = begin(t, s, id, -1)
	write(t, u, b)
	fatal(t, u.Discard())
	u = begin(t, s, id, -1)
	if u.Offset() != 0 {
		t.Errorf("after Discard the upload still has %d bytes", u.Offset())
	}
	fatal(t, u.Discard())
	want(t, again(), b)
}

func uploadOneWriter(t *testing.T, h Harness) {
	again := h.New(t)
	u := begin(t, again(), "one", -1)
	if _, err := again().Begin(t.Context(), "one", -1); !errors.Is(err, store.ErrBusy) || errs.KindOf(err) != errs.Conflict {
		t.Errorf("a second writer: %v, want ErrBusy", err)
	}
	fatal(t, begin(t, again(), "two", -1).Discard())
	fatal(t, u.Close())
	fatal(t, begin(t, again(), "one", -1).Discard())
}

func uploadRefuses(t *testing.T, h Harness) {
	s := h.New(t)()
	for _, id := range []string{"", ".", "..", "a/b", "A", "ü", "a b", strings.Repeat("x", 129)} {
		if _, err := s.Begin(t.Context(), id, -1); errs.KindOf(err) != errs.Invalid {
			t.Errorf("Begin(%q): %v", id, err)
		}
	}
	b := Noise(100, 5)
	u := begin(t, s, strings.Repeat("x", 128), 100)
	if _, err := u.Write(append(bytes.Clone(b), 0)); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
		t.Errorf("Write of more than its size: %v", err)
	}
	if _, err := io.Copy(u, Endless{}); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("an endless source: %v", err)
	}
	fatal(t, u.Truncate(0))
	write(t, u, b[:99])
	if err := u.Commit(t.Context(), digest.Of(b[:99])); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
		t.Errorf("Commit of less than its size: %v", err)
	}
	write(t, u, b[99:])
	if err := u.Commit(t.Context(), digest.Of(nil)); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
		t.Errorf("Commit as another blob: %v", err)
	}
	if err := u.Commit(t.Context(), "sha256:../x"); err == nil {
		t.Error("Commit as no blob")
	}
	fatal(t, s.List(t.Context(), func(d digest.Digest, _ int64) error {
		t.Errorf("a refused blob is visible: %s", d)
		return nil
	}))
	fatal(t, u.Commit(t.Context(), digest.Of(b)))
	want(t, s, b)
}

// uploadGoesBack reads back what an earlier writer left, drops what is bad of it, and writes on.
func uploadGoesBack(t *testing.T, h Harness) {
	again := h.New(t)
	b := Noise(100_000, 4)
	bad := bytes.Clone(b[:50_000])
	copy(bad[20_000:], make([]byte, 1000)) // what a power cut may leave
	u := begin(t, again(), "back", -1)
	write(t, u, bad)
	fatal(t, u.Close())
	u = begin(t, again(), "back", int64(len(b)))
	write(t, u, b[u.Offset():])
	if err := u.Commit(t.Context(), digest.Of(b)); !errors.Is(err, digest.ErrMismatch) {
		t.Fatalf("Commit: %v, want a mismatch", err)
	}
	got := make([]byte, 20_000)
	if _, err := u.ReadAt(got, 0); err != nil || !bytes.Equal(got, b[:20_000]) {
		t.Errorf("ReadAt: %v", err)
	}
	for _, off := range []int64{-1, int64(len(b)) + 1} {
		if err := u.Truncate(off); err == nil {
			t.Errorf("Truncate to %d is accepted", off)
		}
	}
	fatal(t, u.Truncate(20_000))
	write(t, u, b[20_000:])
	fatal(t, u.Commit(t.Context(), digest.Of(b)))
	want(t, again(), b)

	// More than the blob has is not a prefix of it.
	u = begin(t, again(), "back", -1)
	write(t, u, Noise(101, 6))
	fatal(t, u.Close())
	u = begin(t, again(), "back", 100)
	if u.Offset() != 0 {
		t.Errorf("offset %d of a partial blob that is too long", u.Offset())
	}
	fatal(t, u.Discard())
}

// pending is what has been begun and not ended, by whomever.
func pending(t *testing.T, h Harness) {
	again := h.New(t)
	began := time.Now()
	for i, id := range []string{"a-1", "a-2", "b-1", "a-3", "a-4"} {
		u := begin(t, again(), id, -1)
		write(t, u, Noise(i+1, 1))
		switch id {
		case "a-3":
			fatal(t, u.Discard())
		case "a-4":
			fatal(t, u.Commit(t.Context(), digest.Of(Noise(i+1, 1))))
		default:
			fatal(t, u.Close())
		}
	}
	got := map[string]int64{}
	fatal(t, again().Pending(t.Context(), "a-", func(id string, size int64, last time.Time) error {
		if got[id] = size; last.Before(began.Add(-time.Second)) {
			t.Errorf("%s was written at %v", id, last)
		}
		return nil
	}))
	if len(got) != 2 || got["a-1"] != 1 || got["a-2"] != 2 {
		t.Errorf("pending: %v", got)
	}
	stop := errors.New("stop")
	if err := again().Pending(t.Context(), "", func(string, int64, time.Time) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("visit's error became %v", err)
	}
}

// resume is how a blob whose digest is known comes in.
func resume(t *testing.T, h Harness) {
	again := h.New(t)
	b := Noise(1000, 7)
	d := digest.Of(b)
	u, err := store.Resume(t.Context(), again(), d, 1000)
	fatal(t, err)
	write(t, u, b[:500])
	if _, err := store.Resume(t.Context(), again(), d, 1000); !errors.Is(err, store.ErrBusy) || errs.KindOf(err) != errs.Conflict {
		t.Errorf("a second writer: %v", err)
	}
	fatal(t, u.Close())
	u, err = store.Resume(t.Context(), again(), d, -1)
	fatal(t, err)
	if u.Offset() != 500 {
		t.Errorf("offset %d", u.Offset())
	}
	write(t, u, b[500:])
	fatal(t, u.Commit(t.Context(), d))
	for _, size := range []int64{-1, 1000} {
		if _, err := store.Resume(t.Context(), again(), d, size); !errors.Is(err, store.ErrExists) || errs.KindOf(err) != errs.Conflict {
			t.Errorf("a blob that is there: %v", err)
		}
	}
	if _, err := store.Resume(t.Context(), again(), "sha256:no", -1); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no digest: %v", err)
	}
}

// uploadOfManyWriters races for one blob. Whoever is let in after the others must never touch the
// finished blob.
func uploadOfManyWriters(t *testing.T, h Harness) {
	again := h.New(t)
	b := Noise(10_000, 3)
	done := make(chan error)
	const writers = 8
	for range writers {
		s := again()
		go func() {
			for {
				u, err := store.Resume(t.Context(), s, digest.Of(b), int64(len(b)))
				if errors.Is(err, store.ErrBusy) {
					continue
				}
				if errors.Is(err, store.ErrExists) {
					done <- store.Verify(t.Context(), s, digest.Of(b))
					return
				}
				if err == nil {
					_, err = u.Write(b[u.Offset():min(len(b), int(u.Offset())+3000)])
					if err == nil && u.Offset() == int64(len(b)) {
						err = u.Commit(t.Context(), digest.Of(b))
					}
					err = errors.Join(err, u.Close())
				}
				if err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	want(t, again(), b)
}

func staged(t *testing.T, h Harness) {
	s := h.New(t)()
	b := Noise(70_000, 8)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	fatal(t, err)
	defer f.Close()
	_, err = f.Write(b)
	fatal(t, err)
	for _, known := range []store.Known{{}, {Digest: digest.Of(b), Size: int64(len(b))}, {Digest: digest.Of(b[1:]), Size: int64(len(b) - 1)}} {
		g, err := s.Stage(t.Context(), f, known)
		fatal(t, err)
		if g.Digest() != digest.Of(b) || g.Size() != int64(len(b)) {
			t.Fatalf("%s of %d bytes", g.Digest(), g.Size())
		}
		early, err := g.Open()
		if errors.Is(err, errors.ErrUnsupported) {
			early = nil
		} else {
			fatal(t, err)
		}
		fatal(t, g.Commit(t.Context()))
		want(t, s, b)
		if early == nil {
			continue
		}
		if got, err := io.ReadAll(early); err != nil || !bytes.Equal(got, b) {
			t.Errorf("what was opened before Commit has %d bytes, %v", len(got), err)
		}
		fatal(t, early.Close())
	}
}
