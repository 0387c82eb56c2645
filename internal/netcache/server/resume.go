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

// putPart appends what r yields to the writer's own upload of the blob called name, and returns how
// many bytes of it are here then; when that is all, the blob is stored and will survive a power cut.
// What came before a break stays. r is not read unless it begins where the last part ended. When
// the whole is not the blob, all of it is dropped (errs.Invalid). Other writers of the same blob have
// uploads of their own: whoever is first with the right bytes has stored it for all.
func (s *Shelf) putPart(ctx context.Context, r io.Reader, name, writer string, p Part, limit int64) (there int64, err error) {
	if d, n, err := s.Resolve(ctx, name); err == nil && d == p.Sum && n == p.Size {
		return p.Size, s.alias(name, p.Sum, p.Size) // it may have come from another network cache only
	}
	if stored, err := store.HasSize(ctx, s.depot, p.Sum, p.Size); stored && !p.secret || err != nil {
		if err != nil {
			return 0, err
		}
		return s.known(ctx, name, p.Sum, p.Size)
	}
	in, held, err := s.begin(ctx, writer, name, p, limit)
	if err != nil {
		return 0, err
	}
	defer s.held.drop(held)
	defer in.Close()
	if p.From != in.Offset() {
		return in.Offset(), nil
	}
	if _, err := io.Copy(in, held.over(r)); err != nil {
		return 0, errors.Join(err, in.Sync())
	}
	if in.Offset() < p.Size {
		return 0, errors.Join(errs.Errorf(errs.Invalid, "%d of %d bytes came: %w", in.Offset(), p.Size, io.ErrUnexpectedEOF), in.Sync())
	}
	// Not on the way: the client may wait for this answer, but takes a
	// server that reads nothing for dead.
	if err := named(ctx, io.NewSectionReader(in, 0, p.Size), name); err != nil {
		return 0, errors.Join(err, in.Discard())
	}
	if err := in.Commit(ctx, p.Sum); err != nil {
		return 0, errors.Join(errs.E(errs.Invalid, err), in.Discard())
	}
	return p.Size, s.alias(name, p.Sum, p.Size)
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
