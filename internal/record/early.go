package record

import (
	"cmp"
	"context"
	"fmt"

	"overland/internal/flight"
	"overland/internal/lockfile"
)

// earlyLimit is how many answers may be on their way to the disk while their clients have them already.
const earlyLimit = 64

// serveEarly lets clients have what arrived before it is durable and before a Witness was asked: an fsync each would be
// most of what recording costs apt, which asks for one thing after the other, and a lookup each most of what it costs go.
// The lock waits for it (Settle). False when that cannot be, or when the disk is too far behind.
func (r *Recorder) serveEarly(in *Arrival) bool {
	b, err := in.Open()
	if err != nil {
		return false
	}
	_ = b.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.early) >= earlyLimit || r.early[in.Entry.Blob] != nil {
		return false
	}
	r.early[in.Entry.Blob] = in
	return true
}

// take makes what arrived held, and gives it to those who wait for c: at once, if that can be.
func (r *Recorder) take(ctx context.Context, c *flight.Call[lockfile.Entry], n name, in *Arrival) error {
	if !r.serveEarly(in) {
		if err := r.keep(ctx, in); err != nil {
			return err
		}
		r.publish(c, n, in.Entry)
		return nil
	}
	r.publish(c, n, in.Entry)
	// Clients have it: that the last of them left is no reason to drop it.
	r.endEarly(n, in, r.keep(context.WithoutCancel(ctx), in))
	return nil
}

// keep stores what arrived as a blob, and completes its proof.
func (r *Recorder) keep(ctx context.Context, in *Arrival) error {
	if err := in.Witness(ctx); err != nil {
		return err
	}
	if err := in.Commit(ctx); err != nil {
		return err
	}
	if r.note != nil && in.Entry.Lasting() {
		r.note(in.Entry)
	}
	return nil
}

// endEarly ends what serveEarly began: with the entry of in, or with err, why it could not be kept.
func (r *Recorder) endEarly(n name, in *Arrival, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.early, in.Entry.Blob)
	r.less.Broadcast()
	r.have[n] = in.Entry
	if err != nil {
		err = fmt.Errorf("record %s %s: %w", n.protocol, n.key, err)
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
	r.waitForDisk()
	return r.lost
}

// waitForDisk waits until nothing is on its way to the disk. The caller holds r.mu, and does when it returns.
func (r *Recorder) waitForDisk() {
	for len(r.early) > 0 {
		r.less.Wait()
	}
}
