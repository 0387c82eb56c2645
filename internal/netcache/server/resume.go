package server

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// PutPart appends what r yields to the blob called name, which has size bytes and the sha256 sum,
// and returns how many bytes of it are here then; when that is size, the blob is stored and will
// survive a power cut. What came before a break stays. from is the offset of r's first byte, -1 =
// nothing is sent; r is not read unless it begins where the last part ended. When the whole is not
// the blob, all of it is dropped (errs.Invalid).
func (s *Shelf) PutPart(ctx context.Context, r io.Reader, name string, sum digest.Digest, from, size int64) (there int64, err error) {
	if d, n, err := s.Resolve(ctx, name); err == nil && d == sum && n == size {
		return size, s.alias(name, sum, size) // it may have come from another network cache only
	}
	in, err := store.Resume(ctx, s.depot, sum, size)
	if errors.Is(err, store.ErrExists) {
		return s.known(ctx, name, sum, size)
	}
	if err != nil {
		return 0, err
	}
	defer in.Close()
	if from != in.Offset() {
		return in.Offset(), nil
	}
	if _, err := io.Copy(in, r); err != nil {
		return 0, errors.Join(err, in.Sync())
	}
	if in.Offset() < size {
		return 0, errors.Join(errs.Errorf(errs.Invalid, "%d of %d bytes came: %w", in.Offset(), size, io.ErrUnexpectedEOF), in.Sync())
	}
	// Not on the way: the client may wait for this answer, but takes a
	// server that reads nothing for dead.
	if err := named(ctx, io.NewSectionReader(in, 0, size), name); err != nil {
		return 0, errors.Join(err, in.Discard())
	}
	if err := in.Commit(ctx, sum); err != nil {
		return 0, errors.Join(errs.E(errs.Invalid, err), in.Discard())
	}
	return size, s.alias(name, sum, size)
}

// known gives the blob sum, which the depot has already, the name that it claims to have.
func (s *Shelf) known(ctx context.Context, name string, sum digest.Digest, size int64) (int64, error) {
	b, err := s.depot.Open(ctx, sum)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	if err := named(ctx, b, name); err != nil {
		return 0, err
	}
	return size, s.alias(name, sum, size)
}

// named returns errs.Invalid when the sha512 of r is not name.
func named(ctx context.Context, r io.Reader, name string) error {
	h := sha512.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != name {
		return errs.Errorf(errs.Invalid, "the sha512 of the bytes is %s", got)
	}
	return ctx.Err()
}
