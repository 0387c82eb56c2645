package dir_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/store/storetest"
)

func begin(t *testing.T, s *storedir.Store, b []byte) store.Upload {
	t.Helper()
	i, err := store.Resume(t.Context(), s, digest.Of(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func write(t *testing.T, i store.Upload, b []byte) {
	t.Helper()
	if _, err := i.Write(b); err != nil {
		t.Fatal(err)
	}
}

// ingest returns the path of name in the folder of unfinished blobs.
func ingest(s *storedir.Store, name string) string {
	return filepath.Join(s.Dir(), storedir.IngestFolder, name)
}

// complete writes what is missing of b and commits.
func complete(t *testing.T, s *storedir.Store, b []byte) {
	t.Helper()
	i := begin(t, s, b)
	write(t, i, b[i.Offset():])
	if storetest.Has(t, s, digest.Of(b)) {
		t.Error("visible before Commit")
	}
	if err := errors.Join(i.Commit(t.Context(), digest.Of(b)), i.Close(), i.Discard()); err != nil {
		t.Fatal(err)
	}
	if err := store.Verify(t.Context(), s, digest.Of(b)); err != nil {
		t.Fatal(err)
	}
	checkClean(t, s)
}

func TestIngestResumes(t *testing.T) {
	s := open(t)
	b := noise(3*storedir.BufferSize+5, 1)
	for _, upto := range []int{0, 1, storedir.BufferSize, 2*storedir.BufferSize + 7, len(b)} {
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
	if _, err := store.Resume(t.Context(), s, digest.Of(b), int64(len(b))); !errors.Is(err, store.ErrExists) || errs.KindOf(err) != errs.Conflict {
		t.Errorf("Begin of a blob that is there: %v", err)
	}
}

// What an earlier writer left and somebody cut short meanwhile is an error, and never the digest of less.
func TestAnUploadThatSomebodyCutShort(t *testing.T) {
	s := open(t)
	b := noise(2*storedir.BufferSize, 1)
	i := begin(t, s, b)
	write(t, i, b[:len(b)-1])
	if err := errors.Join(i.Sync(), i.Close()); err != nil {
		t.Fatal(err)
	}
	i = begin(t, s, b)
	defer i.Close()
	cut := 0
	err := filepath.WalkDir(s.Dir(), func(path string, d fs.DirEntry, err error) error {
		if info, e := os.Stat(path); err == nil && e == nil && info.Size() == int64(len(b)-1) {
			cut++
			return os.Truncate(path, storedir.BufferSize/2)
		}
		return err
	})
	if err != nil || cut != 1 {
		t.Fatalf("%v, %d files", err, cut)
	}
	for range 2 { // not the second time either
		if d, err := i.Digest(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s, %v", d, err)
		}
		if _, err := i.Write(b[len(b)-1:]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("it goes on: %v", err)
		}
	}
}

func TestIngestSurvivesSIGKILL(t *testing.T) {
	s := open(t)
	const half = 3*storedir.BufferSize + 11
	b := noise(2*half, 1)
	killed(t, "ingest", s.Dir(), half, func() {
		if _, err := store.Resume(t.Context(), s, digest.Of(b), int64(len(b))); !errors.Is(err, store.ErrBusy) || errs.KindOf(err) != errs.Conflict {
			t.Errorf("a second writer: %v, want store.ErrBusy", err)
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
		if list, err := os.ReadDir(ingest(s, "")); err != nil || len(list) != 1 {
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
		path := ingest(s, digest.Of(b).Encoded()+storedir.PartSuffix)
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
	dead := ingest(s, storedir.PutPrefix+"dead")
	if err := errors.Join(os.WriteFile(dead, []byte("x"), 0o600), os.Chtimes(dead, old, old)); err != nil {
		t.Fatal(err)
	}
	if err := s.Tidy(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{gone: false, dead: false, stays: true, ingest(s, digest.Of(young).Encoded()+storedir.PartSuffix): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
	write(t, i, busy[50:])
	if err := i.Commit(t.Context(), digest.Of(busy)); err != nil {
		t.Fatal(err)
	}
	complete(t, s, young)
	complete(t, s, left)
}

func TestBeginAsksForRoomFirst(t *testing.T) {
	s := open(t)
	free, err := fsx.Free(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Begin(t.Context(), "big", free+1<<40)
	if errs.KindOf(err) != errs.Unavailable || errs.HintOf(err) == "" {
		t.Errorf("Begin: %v", err)
	}
	_, _, err = s.Put(t.Context(), storetest.Endless{}, digest.Of([]byte("x")), free+1<<40)
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
	if storedir.Hashed(i) != int64(len(b)) {
		t.Errorf("%d of %d bytes hashed before Commit", storedir.Hashed(i), len(b))
	}
	if err := i.Commit(t.Context(), digest.Of(b)); err != nil {
		t.Fatal(err)
	}
}
