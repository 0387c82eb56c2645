package registry

import (
	"errors"
	"fmt"

	"overland/internal/errs"
)

// Code is what the distribution specification calls an error.
type Code string

// The codes.
const (
	BlobUnknown         Code = "BLOB_UNKNOWN"
	BlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	BlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	DigestInvalid       Code = "DIGEST_INVALID"
	ManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	ManifestInvalid     Code = "MANIFEST_INVALID"
	ManifestUnknown     Code = "MANIFEST_UNKNOWN"
	NameInvalid         Code = "NAME_INVALID"
	NameUnknown         Code = "NAME_UNKNOWN"
	SizeInvalid         Code = "SIZE_INVALID"
	Unauthorized        Code = "UNAUTHORIZED"
	Denied              Code = "DENIED"
	Unsupported         Code = "UNSUPPORTED"
	TooManyRequests     Code = "TOOMANYREQUESTS"
)

type coded struct {
	code Code
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// fail returns an error of kind with a code.
func fail(kind errs.Kind, code Code, format string, args ...any) error {
	return errs.E(kind, &coded{code, fmt.Errorf(format, args...)})
}

// Busy returns the error for a client that is to come again.
func Busy(format string, args ...any) error {
	return fail(errs.Unavailable, TooManyRequests, format, args...)
}

// Mirrors returns the error for a push or a removal under the name of another registry that is mirrored.
func Mirrors(from string) error {
	return fail(errs.Denied, Denied, "images of %s are mirrored here: nothing else can be under its name", from)
}

// Unknown returns err as that of what is not there, with a code.
func Unknown(code Code, err error) error { return errs.E(errs.NotFound, &coded{code, err}) }

// CodeOf returns the code of err; "" when it has none.
func CodeOf(err error) Code {
	var e *coded
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}
