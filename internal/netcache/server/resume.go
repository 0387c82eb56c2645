package server

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

// part is what the head of a request says of a part of an upload.
type part struct {
	from, size int64         // size is of the whole blob; from is -1 in the question how much is there
	sum        digest.Digest // of the whole blob
}

// parsePart reads "Content-Range: bytes FROM-LAST/SIZE", or "bytes */SIZE", and "Repr-Digest: sha-256=:BASE64:".
func parsePart(h http.Header) (part, error) {
	bad := func(name string) (part, error) {
		return part{}, errs.Errorf(errs.Invalid, "%s: %.100q", name, h.Get(name))
	}
	p := part{from: -1}
	span, rest, ok := strings.Cut(strings.TrimPrefix(h.Get("Content-Range"), "bytes "), "/")
	size, err := strconv.ParseUint(rest, 10, 63)
	if !ok || err != nil || size == 0 {
		return bad("Content-Range")
	}
	p.size = int64(size)
	if span != "*" {
		first, last, _ := strings.Cut(span, "-")
		from, err := strconv.ParseUint(first, 10, 63)
		to, err2 := strconv.ParseUint(last, 10, 63)
		if err != nil || err2 != nil || from > to || to != size-1 { // a part goes to the end
			return bad("Content-Range")
		}
		p.from = int64(from)
	}
	text, ok := strings.CutPrefix(h.Get("Repr-Digest"), "sha-256=:")
	text, ok2 := strings.CutSuffix(text, ":")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || !ok2 || err != nil {
		return bad("Repr-Digest")
	}
	if p.sum, err = digest.Parse("sha256:" + hex.EncodeToString(raw)); err != nil {
		return bad("Repr-Digest")
	}
	return p, nil
}

// putPart answers a PUT with a Content-Range: a part of an upload that goes on, or the question how much of it is there.
func (s *Server) putPart(w http.ResponseWriter, r *http.Request, name string) {
	account, err := s.policy().writer(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p, err := parsePart(r.Header)
	if err == nil && p.size > s.o.MaxBlob {
		err = tooLarge(s.o.MaxBlob)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	there, err := s.shelf.PutPart(r.Context(), r.Body, name, p.sum, p.from, p.size)
	if err == nil && there < p.size {
		if there > 0 {
			w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", there-1))
		}
		w.WriteHeader(http.StatusPermanentRedirect) // "resume incomplete", as other servers of such uploads say
		return
	}
	if err = s.note(r, event{Action: "blob", Account: account.Name, Name: name, Size: p.size}, err); err != nil {
		s.fail(w, r, err)
		return
	}
	stored(w, name)
}

// PutPart appends what r yields to the blob of size bytes called name, whose sha256 is sum, and returns how many bytes of
// it are there then: with size, it is stored, and will survive a power cut. What came before a break stays. Bytes that
// do not go on where the last ones ended are not read: from is where r's first one belongs, -1 = nothing is sent.
// Bytes that are not the blob are dropped, all of them (errs.Invalid).
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
	// Not on the way: the client may wait for this answer, but takes a server that reads nothing for dead.
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
