package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"overland/internal/digest"
	"overland/internal/errs"
)

const uploadIDLimit = 128 // bytes

// UploadID returns the id of the upload by which all who fetch blob d bring it in: each goes on
// where the last stopped.
func UploadID(d digest.Digest) string { return d.Encoded() }

// CheckUploadID returns an error (errs.Invalid) when id may not be the id of an upload.
func CheckUploadID(id string) error {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-"
	if id == "" || len(id) > uploadIDLimit || strings.Trim(id, letters) != "" {
		return errs.Errorf(errs.Invalid, "upload %.150q: 1 to %d lower-case letters, digits and -", id, uploadIDLimit)
	}
	return nil
}

// Resume starts or resumes the upload of blob d of size bytes (-1 = unknown) under UploadID(d). Its
// errors are those of Begin, and ErrExists (errs.Conflict) when the blob is stored already.
func Resume(ctx context.Context, s Store, d digest.Digest, size int64) (Upload, error) {
	u, err := resume(ctx, s, d, size)
	if err != nil {
		return nil, fmt.Errorf("begin blob %s: %w", d, err)
	}
	return u, nil
}

func resume(ctx context.Context, s Store, d digest.Digest, size int64) (Upload, error) {
	there, err := HasSize(ctx, s, d, size)
	if err != nil {
		return nil, err
	}
	if there {
		return nil, errs.E(errs.Conflict, ErrExists)
	}
	u, err := s.Begin(ctx, UploadID(d), size)
	if err != nil {
		return nil, err
	}
	// The last writer may have committed since: then this upload is a new one, and nobody will go
	// on with it.
	there, err = HasSize(ctx, s, d, size)
	if err != nil {
		return nil, errors.Join(err, u.Close())
	}
	if there {
		return nil, errors.Join(errs.E(errs.Conflict, ErrExists), u.Discard())
	}
	return u, nil
}
