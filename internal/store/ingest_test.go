package store

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
)

func begin(t *testing.T, s *Store, b []byte) *Ingest {
	t.Helper()
	i, err := s.Begin(digest.Of(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func write(t *testing.T, i *Ingest, b []byte) {
	t.Helper()
	if _, err := i.Write(b); err != nil {
		t.Fatal(err)
	}
}

// complete writes what is missing of b and commits.
func complete(t *testing.T, s *Store, b []byte) {
	t.Helper()
	i := begin(t, s, b)
	write(t, i, b[i.Offset():])
	if s.Has(digest.Of(b)) {
		t.Error("visible before Commit")
	}
	if err := errors.Join(i.Commit(t.Context()), i.Close(), i.Discard()); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), digest.Of(b)); err != nil {
		t.Fatal(err)
	}
	checkClean(t, s)
}

func TestIngestResumes(t *testing.T) {
	s := open(t)
	b := noise(3*bufferSize+5, 1)
	for _, upto := range []int{0, 1, bufferSize, 2*bufferSize + 7, len(b)} {
		i := begin(t, s, b)
		write(t, i, b[i.Offset():upto])
		if i.Offset() != int64(upto) {
			t.Fatalf("offset %d, want %d", i.Offset(), upto)
		}
		if err := errors.Join(i.Sync(), i.Close()); err != nil {
			t.Fatal(err)
		}
	}
	complete(t, s, b)
	if _, err := s.Begin(digest.Of(b), int64(len(b))); !errors.Is(err, ErrExists) || errs.KindOf(err) != errs.Conflict {
		t.Errorf("Begin of a blob that is there: %v", err)
	}
}

func TestIngestSurvivesSIGKILL(t *testing.T) {
	s := open(t)
	const half = 3*bufferSize + 11
	b := noise(2*half, 1)
	killed(t, "ingest", s.Dir(), half, func() {
		if _, err := s.Begin(digest.Of(b), int64(len(b))); !errors.Is(err, ErrBusy) || errs.KindOf(err) != errs.Conflict {
			t.Errorf("a second writer: %v, want ErrBusy", err)
		}
	})
	i := begin(t, s, b)
	if i.Offset() != half {
		t.Errorf("resumes at %d, want %d", i.Offset(), half)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	complete(t, s, b)
}

func TestCollectSweepsAfterSIGKILL(t *testing.T) {
	s := open(t)
	killed(t, "put", s.Dir(), 1000, func() {
		if _, err := s.Collect(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if list, err := os.ReadDir(s.ingest("")); err != nil || len(list) != 1 {
			t.Errorf("the file of a Put at work: %v, %v", list, err)
		}
	})
	if _, err := s.Collect(t.Context(), nil); err != nil {
		t.Error(err)
	}
	checkClean(t, s)
}

// What nobody goes on with is removed after a while; what is young or being written stays.
func TestTidy(t *testing.T) {
	s := open(t)
	old := time.Now().Add(-2 * time.Hour)
	age := func(b []byte) string {
		path := s.ingest(digest.Of(b).Encoded() + partSuffix)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left, young, busy := noise(100, 1), noise(100, 2), noise(100, 3)
	for _, b := range [][]byte{left, young} {
		i := begin(t, s, b)
		write(t, i, b[:50])
		if err := i.Close(); err != nil {
			t.Fatal(err)
		}
	}
	i := begin(t, s, busy)
	write(t, i, busy[:50])
	gone, stays := age(left), age(busy)
	dead := s.ingest(putPrefix + "dead")
	if err := errors.Join(os.WriteFile(dead, []byte("x"), 0o600), os.Chtimes(dead, old, old)); err != nil {
		t.Fatal(err)
	}
	if err := s.Tidy(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{gone: false, dead: false, stays: true, s.ingest(digest.Of(young).Encoded() + partSuffix): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
	write(t, i, busy[50:])
	if err := i.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	complete(t, s, young)
	complete(t, s, left)
}

func TestIngestOneWriter(t *testing.T) {
	s := open(t)
	b := noise(100, 2)
	i := begin(t, s, b)
	if _, err := s.Begin(digest.Of(b), 100); !errors.Is(err, ErrBusy) {
		t.Errorf("a second writer: %v, want ErrBusy", err)
	}
	if err := i.Discard(); err != nil {
		t.Fatal(err)
	}
	complete(t, s, b)
}

// Writers race for one blob. Whoever is let in after the others must never touch the finished file.
func TestIngestRace(t *testing.T) {
	s := open(t)
	b := noise(10_000, 3)
	done := make(chan error)
	const writers = 8
	for range writers {
		go func() {
			for {
				i, err := s.Begin(digest.Of(b), int64(len(b)))
				if errors.Is(err, ErrBusy) {
					continue
				}
				if errors.Is(err, ErrExists) {
					done <- s.Verify(t.Context(), digest.Of(b))
					return
				}
				if err == nil {
					_, err = i.Write(b[i.Offset():min(len(b), int(i.Offset())+3000)])
					if err == nil && i.Offset() == int64(len(b)) {
						err = i.Commit(t.Context())
					}
					err = errors.Join(err, i.Close())
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
	checkClean(t, s)
}

func TestIngestDetectsCorruptPartial(t *testing.T) {
	s := open(t)
	b := noise(100_000, 4)
	i := begin(t, s, b)
	write(t, i, b[:50_000])
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	part := s.ingest(digest.Of(b).Encoded() + ".part")
	bad := bytes.Clone(b[:50_000])
	copy(bad[20_000:], make([]byte, 1000)) // what a power cut may leave
	if err := os.WriteFile(part, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	i = begin(t, s, b)
	write(t, i, b[i.Offset():])
	if err := i.Commit(t.Context()); !errors.Is(err, digest.ErrMismatch) || errs.KindOf(err) != errs.Untrusted {
		t.Fatalf("Commit: %v, want a mismatch", err)
	}
	if s.Has(digest.Of(b)) {
		t.Fatal("a wrong blob is visible")
	}
	// Who knows the chunks keeps the good prefix.
	got := make([]byte, 20_000)
	if _, err := i.ReadAt(got, 0); err != nil || !bytes.Equal(got, b[:20_000]) {
		t.Errorf("ReadAt: %v", err)
	}
	if err := i.Truncate(20_000); err != nil {
		t.Fatal(err)
	}
	write(t, i, b[20_000:])
	if err := i.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), digest.Of(b)); err != nil {
		t.Error(err)
	}
}

func TestIngestRefusesTooMuch(t *testing.T) {
	s := open(t)
	b := noise(100, 5)
	i := begin(t, s, b)
	if _, err := i.Write(append(b, 0)); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("Write: %v", err)
	}
	if _, err := i.ReadFrom(endless{}); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("ReadFrom an endless source: %v", err)
	}
	if err := i.Commit(t.Context()); !errors.Is(err, digest.ErrMismatch) {
		t.Errorf("Commit of a short blob: %v", err)
	}
	if err := i.Truncate(1); err == nil {
		t.Error("Truncate beyond the end is accepted")
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	// A partial file longer than the blob is no prefix of it.
	if err := os.WriteFile(s.ingest(digest.Of(b).Encoded()+".part"), noise(101, 6), 0o600); err != nil {
		t.Fatal(err)
	}
	complete(t, s, b)
}

func TestIngestOfUnknownSize(t *testing.T) {
	s := open(t)
	b := noise(5000, 7)
	i, err := s.Begin(digest.Of(b), -1)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := i.ReadFrom(bytes.NewReader(b)); n != 5000 || err != nil {
		t.Fatal(n, err)
	}
	if err := i.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBeginAsksForRoomFirst(t *testing.T) {
	s := open(t)
	free, err := fsx.Free(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Begin(digest.Of(nil), free+1<<40)
	if errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
		t.Errorf("Begin: %v", err)
	}
	_, _, err = s.Put(t.Context(), endless{}, digest.Of([]byte("x")), free+1<<40)
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("Put: %v", err)
	}
}

// What is written through one Ingest is hashed as it goes by, not read again.
func TestCommitReadsNothingBack(t *testing.T) {
	s := open(t)
	b := noise(100_000, 8)
	i := begin(t, s, b)
	write(t, i, b)
	if i.hashed != int64(len(b)) {
		t.Errorf("%d of %d bytes hashed before Commit", i.hashed, len(b))
	}
	if err := i.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var _ io.ReaderFrom = i
}
