package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/store"
)

const (
	uploadPrefix = "registry-"
	uploadIdle   = time.Minute    // after which the file of an upload is closed
	uploadLife   = 24 * time.Hour // after which an upload, or a blob to which no manifest points, is dropped
	sweepEvery   = time.Hour
	mostOpen     = 1024     // uploads whose file is open; one more closes that of whoever has the most
	mostUploads  = 512      // of one account that are not finished; one more drops its oldest
	piece        = 64 << 20 // bytes for which room is asked at a time
	smallPiece   = 1 << 20  // the same for a body of unknown size on a disk that is nearly full
)

// upload is a blob on its way in. It is kept open between the requests of its client.
type upload struct {
	id   string
	of   string        // account
	turn chan struct{} // holds a token while nobody uses what follows
	u    store.Upload
	h    hash.Hash // sha512 of all bytes; nil = the client has not said that it wants that, or the upload was resumed
	last time.Time
	done bool
}

func (u *upload) close() error {
	u.done = true
	if u.u == nil {
		return nil
	}
	return u.u.Close() // which does nothing after the end
}

// Begin begins an upload to the repository, sent by account, and returns its id. algorithm is that of the digest
// which will come at the end, "" when it is not known.
func (r *Registry) Begin(ctx context.Context, name Name, account, algorithm string) (id string, err error) {
	id = uploadPrefix + strings.ToLower(rand.Text())
	if err := r.facts.AddRegistryUpload(ctx, id, string(name), account, r.o.Now()); err != nil {
		return "", err
	}
	surplus, err := r.facts.SurplusRegistryUploads(ctx, account, r.mostUploads)
	if err != nil {
		return "", err
	}
	for _, old := range surplus {
		if err := r.drop(ctx, old); err != nil {
			return "", fmt.Errorf("upload %s: %w", old, err)
		}
	}
	if algorithm == "sha512" {
		u, release, err := r.take(ctx, name, account, id)
		if err != nil {
			return "", err
		}
		defer release()
		u.h = sha512.New()
	}
	return id, nil
}

// take returns the upload id, whose only user the caller is until it calls release.
func (r *Registry) take(ctx context.Context, name Name, account, id string) (u *upload, release func(), err error) {
	unknownUpload := fail(errs.NotFound, BlobUploadUnknown, "upload %.100q is not known", id)
	if err := store.CheckUploadID(id); err != nil {
		return nil, nil, unknownUpload
	}
	// Whoever knows the id must have begun it.
	repository, by, err := r.facts.RegistryUpload(ctx, id)
	if errs.KindOf(err) == errs.NotFound || err == nil && (repository != string(name) || by != account) {
		return nil, nil, unknownUpload
	}
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	if u = r.uploads[id]; u == nil {
		if len(r.uploads) >= r.mostOpen && !r.closeOne() {
			r.mu.Unlock()
			return nil, nil, Busy("%d uploads go on already", r.mostOpen)
		}
		u = &upload{id: id, of: account, turn: make(chan struct{}, 1), last: time.Now()}
		u.turn <- struct{}{}
		r.uploads[id] = u
	}
	r.mu.Unlock()
	select {
	case <-u.turn:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	release = func() { u.last = time.Now(); u.turn <- struct{}{} }
	if u.done { // it was closed, or ended, while we waited
		release()
		return r.take(ctx, name, account, id)
	}
	if u.u == nil {
		if u.u, err = r.blobs.Begin(ctx, id, -1); err != nil {
			release()
			return nil, nil, err
		}
	}
	return u, release, nil
}

// forget ends the upload u, which is the caller's.
func (r *Registry) forget(ctx context.Context, u *upload) error {
	u.done = true
	r.mu.Lock()
	delete(r.uploads, u.id)
	r.mu.Unlock()
	return r.facts.RemoveRegistryUpload(ctx, u.id)
}

// Offset returns how many bytes of the upload are here.
func (r *Registry) Offset(ctx context.Context, name Name, account, id string) (int64, error) {
	u, release, err := r.take(ctx, name, account, id)
	if err != nil {
		return 0, err
	}
	defer release()
	return u.u.Offset(), nil
}

// ErrRange is wrapped by the error of Write for bytes that do not follow those that are here.
var ErrRange = errors.New("these bytes do not follow those that are here")

// Write appends what body yields, of size bytes (-1 = unknown), to the upload, and returns how many bytes are here
// then, also with an error. from is where the client thinks that it goes on; -1 = at the end.
func (r *Registry) Write(ctx context.Context, name Name, account, id string, from int64, body io.Reader, size int64) (int64, error) {
	u, release, err := r.take(ctx, name, account, id)
	if err != nil {
		return 0, err
	}
	defer release()
	err = u.write(from, body, size)
	return u.u.Offset(), err
}

func (u *upload) write(from int64, body io.Reader, size int64) error {
	start := u.u.Offset()
	if from >= 0 && from != start {
		return fail(errs.Invalid, BlobUploadInvalid, "from byte %d, and %d are here: %w", from, start, ErrRange)
	}
	var to io.Writer = u.u
	if u.h != nil {
		to = hashing{u.u, u.h}
	}
	for left := size; ; {
		want := int64(piece)
		if size >= 0 {
			want = min(left, piece)
		}
		err := u.u.Reserve(want)
		if err != nil && size < 0 {
			want = smallPiece
			err = u.u.Reserve(want)
		}
		if err != nil {
			return err
		}
		n, err := io.CopyN(to, body, want)
		left -= n
		switch {
		case size >= 0 && left == 0:
			return nil
		case errors.Is(err, io.EOF) && size < 0:
			return nil
		case errors.Is(err, io.EOF):
			return fail(errs.Invalid, SizeInvalid, "%d bytes are missing", left)
		case err != nil:
			return err
		}
	}
}

// hashing is an upload with the hash of what it takes. io.MultiWriter would leave out of it what came before a disk
// was full, and the upload, resumed, would be taken for other bytes.
type hashing struct {
	store.Upload
	h hash.Hash
}

func (w hashing) Write(p []byte) (int, error) {
	n, err := w.Upload.Write(p)
	w.h.Write(p[:n])
	return n, err
}

// Finish ends the upload, which is whole: the repository has the blob d from now on. Errors: DigestInvalid for bytes
// that are not d; the upload is dropped then.
func (r *Registry) Finish(ctx context.Context, name Name, account, id string, d Digest) error {
	u, release, err := r.take(ctx, name, account, id)
	if err != nil {
		return err
	}
	defer release()
	b, size, err := u.verify(ctx, d)
	if err == nil {
		// First: what the depot has and no push is known to have brought is for everybody.
		if err = r.facts.NoteRegistryCame(ctx, b); err == nil {
			err = u.u.Commit(ctx, b)
		}
	}
	if errors.Is(err, digest.ErrMismatch) {
		err := fail(errs.Invalid, DigestInvalid, "%w", err)
		return errors.Join(err, u.u.Discard(), r.forget(ctx, u))
	}
	if err != nil {
		return err
	}
	if d.SHA512() {
		err = r.facts.AddRegistryAlias(ctx, string(d), b, size)
	}
	if err == nil {
		err = r.have(ctx, name, b)
	}
	return errors.Join(err, r.forget(ctx, u))
}

// verify returns which blob the upload is, an error that wraps digest.ErrMismatch when it is not d.
func (u *upload) verify(ctx context.Context, d Digest) (b digest.Digest, size int64, err error) {
	size = u.u.Offset()
	b, err = u.u.Digest(ctx)
	switch {
	case err != nil:
	case d.SHA512():
		err = u.check(d, size)
	case string(b) != string(d):
		err = errs.Errorf(errs.Untrusted, "blob %s: its bytes are %s: %w", d, b, digest.ErrMismatch)
	}
	return b, size, err
}

// check verifies that the size bytes of the upload are d, a sha512.
func (u *upload) check(d Digest, size int64) error {
	h := u.h
	if h == nil {
		h = sha512.New()
		if _, err := io.Copy(h, io.NewSectionReader(u.u, 0, size)); err != nil {
			return err
		}
	}
	if got := "sha512:" + hex.EncodeToString(h.Sum(nil)); got != string(d) {
		return errs.Errorf(errs.Untrusted, "blob %s: its bytes are %s: %w", d, got, digest.ErrMismatch)
	}
	return nil
}

// Cancel drops the upload.
func (r *Registry) Cancel(ctx context.Context, name Name, account, id string) error {
	u, release, err := r.take(ctx, name, account, id)
	if err != nil {
		return err
	}
	defer release()
	return errors.Join(u.u.Discard(), r.forget(ctx, u))
}

// Run closes the uploads that nobody sends, and drops those that nobody has finished for a day, until ctx ends. It
// returns nil.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(uploadIdle)
	defer tick.Stop()
	var swept time.Time
	for {
		r.closeIdle(time.Now().Add(-uploadIdle))
		if time.Since(swept) > sweepEvery {
			swept = time.Now()
			if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
				r.o.Log.Warn("what unfinished pushes left cannot be removed", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// closeIdle closes the files of uploads that were last used before the moment at.
func (r *Registry) closeIdle(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, u := range r.uploads {
		select {
		case <-u.turn:
			if u.last.Before(at) {
				if err := u.close(); err != nil {
					r.o.Log.Warn("an upload cannot be closed", "upload", id, "error", err)
				}
				delete(r.uploads, id)
			}
			u.turn <- struct{}{}
		default: // in use
		}
	}
}

// closeOne closes the file of one upload that nobody is at work on: of the account that has the most of them, the
// one that was used longest ago. It can be resumed. The caller holds r.mu. It reports whether there was one.
func (r *Registry) closeOne() bool {
	many := map[string]int{}
	for _, u := range r.uploads {
		many[u.of]++
	}
	var found *upload
	for _, u := range r.uploads {
		select {
		case <-u.turn:
		default:
			continue
		}
		if found == nil || many[u.of] > many[found.of] || many[u.of] == many[found.of] && u.last.Before(found.last) {
			found, u = u, found
		}
		if u != nil {
			u.turn <- struct{}{}
		}
	}
	if found == nil {
		return false
	}
	if err := found.close(); err != nil {
		r.o.Log.Warn("an upload cannot be closed", "upload", found.id, "error", err)
	}
	delete(r.uploads, found.id)
	found.turn <- struct{}{}
	return true
}

// drop removes the upload id, unless somebody is at work on it.
func (r *Registry) drop(ctx context.Context, id string) error {
	r.mu.Lock()
	open := r.uploads[id]
	r.mu.Unlock()
	if open != nil {
		select {
		case <-open.turn:
		default:
			return nil
		}
		defer func() { open.turn <- struct{}{} }()
		if open.done {
			return nil // or it was closed a moment ago, and goes the next time
		}
		if open.u != nil {
			return errors.Join(open.u.Discard(), r.forget(ctx, open))
		}
	}
	u, err := r.blobs.Begin(ctx, id, -1)
	if errors.Is(err, store.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := u.Discard(); err != nil {
		return err
	}
	return r.facts.RemoveRegistryUpload(ctx, id)
}
