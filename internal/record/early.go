package record

import (
	"cmp"
	"context"
	"fmt"

	"overland/internal/flight"
	"overland/internal/lockfile"
)

// earlyLimit is how many answers that clients already have may still be on their way to the disk.
const earlyLimit = 64

// serveEarly makes what arrived available to clients before it is durable and before a
// Witness was asked. Otherwise one fsync per answer would be most of the cost of recording
// apt, which sends one request after the other, and one lookup per answer most of the cost of
// recording go. The lock waits for the disk (Settle). False when the answer cannot be opened,
// or the disk is too far behind.
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

// take stores what arrived and delivers it to the waiters of c, at once if possible.
func (r *Recorder) take(ctx context.Context, c *flight.Call[lockfile.Entry], n name, in *Arrival) error {
	if !r.serveEarly(in) {
		if err := r.keep(ctx, in); err != nil {
			return err
		}
		r.publish(c, n, in.Entry)
		return nil
	}
	r.publish(c, n, in.Entry)
	// Clients have it already: store it even if all of them have left.
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

// endEarly ends what serveEarly began: in is stored, or could not be because of err.
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

// Settle waits until everything that clients got is stored. An error means that something could not
// be: a lock would lack what the command relied on.
func (r *Recorder) Settle() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waitForDisk()
	return r.lost
}

// waitForDisk waits until nothing is on its way to the disk. The caller holds r.mu.
func (r *Recorder) waitForDisk() {
	for len(r.early) > 0 {
		r.less.Wait()
	}
}
