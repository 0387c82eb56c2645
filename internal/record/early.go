package record

import (
	"cmp"
	"context"
	"fmt"

	"overland/internal/lockfile"
	"overland/internal/store"
)

// earlyLimit is how many answers may be on their way to the disk while their clients have them already.
const earlyLimit = 64

// arrived is what came from upstream and is proved, in a file without a name.
type arrived struct {
	*Fetched
	store.Staged
}

func (a *arrived) close() { _ = a.Fetched.Close() }

// hurry lets clients have what arrived before it is durable and before a third party was asked: an fsync each would be most
// of what recording costs apt, which asks for one thing after the other, and a lookup each most of what it costs go. The
// lock waits for it (Settle). False when there is no way, or when the disk
// is too far behind.
func (r *Recorder) hurry(in *arrived) bool {
	b, err := in.Open()
	if err != nil {
		return false
	}
	_ = b.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.early) >= earlyLimit || r.early[in.Digest()] != nil {
		return false
	}
	r.early[in.Digest()] = in.Staged
	return true
}

// keep stores what arrived as the blob of e, and returns e with its whole proof.
func (r *Recorder) keep(ctx context.Context, p Protocol, it Item, in *arrived, e lockfile.Entry) (lockfile.Entry, error) {
	_, isLocked := r.lock.Find(it.Protocol, it.Key)
	if w, ok := p.(Witnessed); ok && !isLocked {
		var err error
		if e.Proof, err = w.Witness(ctx, it, e.Proof); err != nil {
			return e, fmt.Errorf("record %s %s: %w", it.Protocol, it.Key, err)
		}
	}
	if err := in.Commit(ctx); err != nil {
		return e, err
	}
	if r.note != nil && e.Lasting() {
		r.note(e)
	}
	return e, nil
}

// settle ends what hurry began: with e, or with the error of keeping it.
func (r *Recorder) settle(n name, in *arrived, e lockfile.Entry, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.early, in.Digest())
	r.less.Broadcast()
	r.have[n] = e
	if err != nil {
		delete(r.have, n)
		r.wrong[n] = err
		r.lost = cmp.Or(r.lost, err) // the others are in wrong
	}
}

// Settle waits until everything that clients were given is stored, and returns why something could not be: then a lock
// would lack what the command relied on.
func (r *Recorder) Settle() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settled()
	return r.lost
}

// settled waits until nothing is on its way to the disk. The caller holds r.mu, and does when it returns.
func (r *Recorder) settled() {
	for len(r.early) > 0 {
		r.less.Wait()
	}
}
