package builder

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
)

// LockDigest returns the digest of the commit's overland.lock; "" when it holds none.
func (j *Job) LockDigest(ctx context.Context) (digest.Digest, error) {
	text, err := j.ReadFile(ctx, lockfile.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return digest.Of(text), nil
}

// Lock returns the commit's overland.lock. Errors: fs.ErrNotExist when it holds none, Invalid for one
// that cannot be read.
func (j *Job) Lock(ctx context.Context) (*lockfile.Lock, error) {
	text, err := j.ReadFile(ctx, lockfile.Name)
	if err != nil {
		return nil, err
	}
	return ParseLock(text)
}

// ParseLock returns the lock of a commit whose overland.lock is text; what cannot be read is Invalid.
func ParseLock(text []byte) (*lockfile.Lock, error) {
	lock, err := lockfile.Parse(bytes.NewReader(text), 0)
	if err != nil {
		return nil, errs.Hint(errs.Errorf(errs.Invalid, "%s: %w", lockfile.Name, err), "mend the line, or record again, and commit it")
	}
	return lock, nil
}
