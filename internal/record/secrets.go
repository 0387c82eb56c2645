package record

import (
	"context"
	"errors"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
)

// noteSecrets notes that n was requested with these secrets.
func (r *Recorder) noteSecrets(n name, secrets string) {
	if secrets == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.secrets[n] == nil {
		r.secrets[n] = map[digest.Digest]bool{}
	}
	r.secrets[n][digest.Of([]byte(secrets))] = true
}

// sameWith makes sure that e, which another request of the same name may have got, is also what it
// gets with its own secrets: the lock cannot tell apart requests that differ in nothing else, so
// they must have one answer. A locked entry was checked when it was recorded.
func (r *Recorder) sameWith(ctx context.Context, p Protocol, it Item, e lockfile.Entry) error {
	if it.Secrets == "" {
		return nil
	}
	n := r.nameOf(it)
	r.mu.Lock()
	asked := r.secrets[n]
	known := asked == nil || asked[digest.Of([]byte(it.Secrets))]
	r.mu.Unlock()
	if _, locked := find(r.lock, it); known || locked {
		return nil
	}
	q := &Acquisition{
		Protocol: p, Item: it, Have: r.lookup(it.Protocol), Store: r.store, Locked: &e, Late: true, Get: r.up.Get,
		Keep: func(context.Context, *Arrival) error { return nil },
	}
	err := q.Fetch(ctx)
	var changed *ChangedError
	var status *origin.StatusError
	same := err == nil && e.Exists() || errors.As(err, &status) && status.Status == e.Status
	switch {
	case same:
		r.noteSecrets(n, it.Secrets)
		return nil
	case err == nil, errors.As(err, &changed), status != nil && (it.Whole || lockfile.IsFact(status.Status)):
		err = errs.Hint(errs.Errorf(errs.Conflict, "%s %s: two requests that differ only in what is masked here have different answers", n.protocol, n.key),
			"a lock holds no secrets, so a replay could not tell them apart: ask with one of them, or put what tells them apart into another parameter")
		r.mu.Lock()
		r.wrong[n] = err // whatever is held of it
		r.mu.Unlock()
	}
	return err
}
