package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

func put(t *testing.T, h Harness) {
	again := h.New(t)
	s := again()
	b := Noise(1<<20+17, 1)
	for _, size := range []int64{-1, int64(len(b))} {
		for _, want := range []digest.Digest{"", digest.Of(b)} {
			d, n, err := s.Put(t.Context(), bytes.NewReader(b), want, size)
			if err != nil || d != digest.Of(b) || n != int64(len(b)) {
				t.Fatalf("Put(%q, %d) = %s, %d, %v", want, size, d, n, err)
			}
		}
	}
	want(t, again(), b)
	Put(t, s, nil)
	want(t, again(), nil)
	if _, _, err := s.Put(t.Context(), unread{t}, digest.Of(b), int64(len(b))); err != nil {
		t.Errorf("Put of what is there: %v", err)
	}
	got, err := s.Bytes(t.Context(), digest.Of(b), int64(len(b)))
	if err != nil || !bytes.Equal(got, b) {
		t.Errorf("Bytes: %d bytes, %v", len(got), err)
	}
	if _, err := s.Bytes(t.Context(), digest.Of(b), int64(len(b))-1); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Bytes under the limit: %v, want ErrTooLarge", err)
	}
	fatal(t, store.Verify(t.Context(), s, digest.Of(b)))
}

// unread must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("read")
	return 0, io.EOF
}

func putRefuses(t *testing.T, h Harness) {
	s := h.New(t)()
	b := Noise(1000, 2)
	for name, put := range map[string]func() error{
		"digest":  func() error { _, _, err := s.Put(t.Context(), bytes.NewReader(b[1:]), digest.Of(b), -1); return err },
		"short":   func() error { _, _, err := s.Put(t.Context(), bytes.NewReader(b), "", 1001); return err },
		"long":    func() error { _, _, err := s.Put(t.Context(), bytes.NewReader(b), "", 999); return err },
		"endless": func() error { _, _, err := s.Put(t.Context(), Endless{}, digest.Of(b), 1000); return err },
	} {
		if err := put(); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
			t.Errorf("%s: %v, want a mismatch that is untrusted", name, err)
		}
	}
	stop := errors.New("stop")
	if _, _, err := s.Put(t.Context(), failing{stop}, "", -1); !errors.Is(err, stop) {
		t.Errorf("the reader's error: %v", err)
	}
	fatal(t, s.List(t.Context(), func(d digest.Digest, _ int64) error {
		t.Errorf("a refused blob is visible: %s", d)
		return nil
	}))
}

type failing struct{ err error }

func (f failing) Read(p []byte) (int, error) { return len(p) / 2, f.err }

func missing(t *testing.T, h Harness) {
	s := h.New(t)()
	d := digest.Of([]byte("nobody has this"))
	_, err := s.Open(t.Context(), d)
	if !errors.Is(err, store.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("Open: %v", err)
	}
	if _, err := s.Stat(t.Context(), d); !errors.Is(err, store.ErrNotFound) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("Stat: %v", err)
	}
	if _, err := s.Bytes(t.Context(), d, 1); !errors.Is(err, store.ErrNotFound) || errs.KindOf(err) != errs.NotFound {
		t.Errorf("Bytes: %v", err)
	}
	if err := store.Verify(t.Context(), s, d); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Verify: %v", err)
	}
	if err := s.Remove(t.Context(), d); err != nil {
		t.Errorf("Remove: %v", err)
	}
	for _, bad := range []digest.Digest{"", "sha256:..", "sha256:../../../etc/passwd", "md5:00"} {
		_, oerr := s.Open(t.Context(), bad)
		_, serr := s.Stat(t.Context(), bad)
		for _, err := range []error{oerr, serr, s.Remove(t.Context(), bad)} {
			if !errors.Is(err, digest.ErrInvalid) || errs.KindOf(err) != errs.Invalid {
				t.Errorf("%q: %v", bad, err)
			}
		}
		if _, err := store.Has(t.Context(), s, bad); err == nil {
			t.Errorf("Has(%q) is no error", bad)
		}
	}
}

func listAndRemove(t *testing.T, h Harness) {
	s := h.New(t)()
	sizes := map[digest.Digest]int64{}
	for n := range 5 {
		sizes[Put(t, s, Noise(n, 1))] = int64(n)
	}
	for d := range sizes {
		got := map[digest.Digest]int64{}
		fatal(t, s.List(t.Context(), func(d digest.Digest, size int64) error { got[d] = size; return nil }))
		if len(got) != len(sizes) {
			t.Errorf("%d blobs are listed, want %d", len(got), len(sizes))
		}
		for d, size := range got {
			if want, ok := sizes[d]; !ok || want != size {
				t.Errorf("%s of %d bytes is listed, want %d", d, size, want)
			}
			if n, err := s.Stat(t.Context(), d); err != nil || n != size {
				t.Errorf("Stat: %d, %v; want %d", n, err, size)
			}
			if ok, err := store.HasSize(t.Context(), s, d, size+1); ok || err != nil {
				t.Errorf("HasSize of another length: %v, %v", ok, err)
			}
		}
		fatal(t, s.Remove(t.Context(), d))
		delete(sizes, d)
		if Has(t, s, d) {
			t.Errorf("%s is there after Remove", d)
		}
	}
	Put(t, s, nil)
	stop := errors.New("stop")
	if err := s.List(t.Context(), func(digest.Digest, int64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("visit's error: %v", err)
	}
}

func damage(t *testing.T, h Harness) {
	s := h.New(t)()
	d := Put(t, s, Noise(5000, 3))
	if h.Damage == nil {
		return
	}
	h.Damage(t, s, d)
	if err := store.Verify(t.Context(), s, d); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
		t.Errorf("Verify: %v", err)
	}
	if _, err := s.Bytes(t.Context(), d, 1<<20); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
		t.Errorf("Bytes: %v", err)
	}
}

// open reads parts, from several places at once, also after the blob was removed or put again.
func open(t *testing.T, h Harness) {
	s := h.New(t)()
	b := Noise(1<<20, 4)
	d := Put(t, s, b)
	f, err := s.Open(t.Context(), d)
	fatal(t, err)
	defer f.Close()
	part := make([]byte, 1000)
	if n, err := f.ReadAt(part, 70_000); n != len(part) || err != nil || !bytes.Equal(part, b[70_000:71_000]) {
		t.Errorf("ReadAt: %d, %v", n, err)
	}
	if n, err := f.ReadAt(part, int64(len(b))-10); n != 10 || !errors.Is(err, io.EOF) {
		t.Errorf("ReadAt over the end: %d, %v", n, err)
	}
	if at, err := f.Seek(-5, io.SeekEnd); err != nil || at != int64(len(b))-5 {
		t.Errorf("Seek: %d, %v", at, err)
	}
	if rest, err := io.ReadAll(f); err != nil || !bytes.Equal(rest, b[len(b)-5:]) {
		t.Errorf("after Seek: %d bytes, %v", len(rest), err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
	if all, err := io.ReadAll(store.Once(f)); err != nil || !bytes.Equal(all, b) {
		t.Errorf("Once: %d bytes, %v", len(all), err)
	}
}

// cancelled asks with a context that has ended: nothing is done, and nobody is told that there is
// nothing.
func cancelled(t *testing.T, h Harness) {
	s := h.New(t)()
	d := Put(t, s, []byte("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, oerr := s.Open(ctx, d)
	_, serr := s.Stat(ctx, d)
	_, berr := s.Bytes(ctx, d, 10)
	_, _, perr := s.Put(ctx, bytes.NewReader([]byte("b")), "", -1)
	_, rerr := s.Resolve(ctx, "x")
	_, terr := s.Tags(ctx)
	_, uerr := s.Begin(ctx, "u", -1)
	for name, err := range map[string]error{
		"Open": oerr, "Stat": serr, "Bytes": berr, "Put": perr, "Remove": s.Remove(ctx, d), "Resolve": rerr, "Tags": terr, "Begin": uerr,
		"Tag": s.Tag(ctx, "x", Describe(nil)), "Untag": s.Untag(ctx, "x"),
		"List": s.List(ctx, func(digest.Digest, int64) error { return nil }),
	} {
		if !errors.Is(err, context.Canceled) || errs.KindOf(err) != errs.Cancelled {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !Has(t, s, d) || Has(t, s, digest.Of([]byte("b"))) {
		t.Error("something was done")
	}
}
