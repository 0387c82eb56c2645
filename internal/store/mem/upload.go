package mem

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// state is an upload between its writers.
type state struct {
	b    []byte
	busy bool
	last time.Time // when it was begun or written
}

// Begin is part of store.Uploads.
func (s *Store) Begin(ctx context.Context, id string, size int64) (store.Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.CheckUploadID(id); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploads == nil {
		s.uploads = map[string]*state{}
	}
	st := s.uploads[id]
	if st == nil {
		st = &state{last: time.Now()}
		s.uploads[id] = st
	}
	if st.busy {
		return nil, fmt.Errorf("upload %s: %w", id, errs.E(errs.Conflict, store.ErrBusy))
	}
	st.busy = true
	if size >= 0 && int64(len(st.b)) > size { // longer than the blob: not a prefix of it
		st.b = nil
	}
	return &upload{s: s, id: id, size: size, state: st}, nil
}

// Pending is part of store.Uploads.
func (s *Store) Pending(ctx context.Context, prefix string, visit func(id string, size int64, last time.Time) error) error {
	type pending struct {
		size int64
		last time.Time
	}
	found := map[string]pending{}
	s.mu.Lock()
	for id, st := range s.uploads {
		if strings.HasPrefix(id, prefix) {
			found[id] = pending{int64(len(st.b)), st.last}
		}
	}
	s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := visit(id, found[id].size, found[id].last); err != nil {
			return err
		}
	}
	return nil
}

// upload is one writer of a state.
type upload struct {
	*state
	s    *Store
	id   string
	size int64 // -1 = unknown
	done bool
}

func (u *upload) Write(p []byte) (int, error) {
	if u.size >= 0 && int64(len(u.b)+len(p)) > u.size {
		return 0, errs.Errorf(errs.Untrusted, "upload %s: more than %d bytes: %w", u.id, u.size, digest.ErrMismatch)
	}
	u.s.mu.Lock() // Pending looks at it
	u.b, u.last = append(u.b, p...), time.Now()
	u.s.mu.Unlock()
	return len(p), nil
}

func (u *upload) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(u.b).ReadAt(p, off)
}

func (u *upload) Offset() int64 { return int64(len(u.b)) }

func (u *upload) Truncate(off int64) error {
	if off < 0 || off > u.Offset() {
		return fmt.Errorf("truncate upload %s: offset %d of %d", u.id, off, u.Offset())
	}
	u.s.mu.Lock()
	u.b = u.b[:off]
	u.s.mu.Unlock()
	return nil
}

func (u *upload) Reserve(int64) error { return nil }

func (u *upload) Digest(context.Context) (digest.Digest, error) { return digest.Of(u.b), nil }

func (u *upload) Sync() error { return nil }

func (u *upload) Commit(ctx context.Context, d digest.Digest) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("commit blob %s: %w", d, err)
	}
	if _, err := digest.Parse(string(d)); err != nil {
		return errs.E(errs.Invalid, fmt.Errorf("commit blob %s: %w", d, err))
	}
	if got := digest.Of(u.b); got != d || u.size >= 0 && u.Offset() != u.size {
		return errs.Errorf(errs.Untrusted, "commit blob %s: %d bytes, which are %s: %w", d, len(u.b), got, digest.ErrMismatch)
	}
	u.s.set(d, u.b)
	return u.Discard()
}

func (u *upload) Close() error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if !u.done {
		u.done, u.busy = true, false
	}
	return nil
}

func (u *upload) Discard() error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if !u.done {
		u.done, u.busy = true, false
		delete(u.s.uploads, u.id)
	}
	return nil
}
