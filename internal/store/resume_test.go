package store_test

import (
	"context"
	"errors"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
	"overland/internal/store/mem"
)

// overtaken is a store in which another writer commits the blob right
// before this one's upload begins.
type overtaken struct {
	*mem.Store
	blob []byte
}

func (s overtaken) Begin(ctx context.Context, id string, size int64) (store.Upload, error) {
	if _, err := store.PutBytes(ctx, s.Store, s.blob); err != nil {
		return nil, err
	}
	u, err := s.Store.Begin(ctx, id, size)
	if err == nil {
		_, err = u.Write(s.blob[:1])
	}
	return u, err
}

// A blob that came while its upload was begun is there, and no upload of it stays behind.
func TestResumeIsOvertaken(t *testing.T) {
	s := overtaken{&mem.Store{}, []byte("blob")}
	d := digest.Of(s.blob)
	if _, err := store.Resume(t.Context(), s, d, int64(len(s.blob))); !errors.Is(err, store.ErrExists) || errs.KindOf(err) != errs.Conflict {
		t.Fatalf("got %v", err)
	}
	u, err := s.Store.Begin(t.Context(), store.UploadID(d), -1)
	if err != nil || u.Offset() != 0 {
		t.Fatalf("the upload stayed: %v", err)
	}
	if err := u.Discard(); err != nil {
		t.Error(err)
	}
}

// A blob of another length than its own, as a power cut leaves it, counts as
// missing when the length is known.
func TestHasSize(t *testing.T) {
	s := &mem.Store{}
	d, err := store.PutBytes(t.Context(), s, []byte("blob"))
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]bool{-1: true, 4: true, 3: false, 0: false} {
		if there, err := store.HasSize(t.Context(), s, d, size); there != want || err != nil {
			t.Errorf("of %d bytes: %v, %v", size, there, err)
		}
	}
}
