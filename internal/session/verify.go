package session

import (
	"context"
	"path/filepath"

	"overland/internal/ecosystem/plain"
	"overland/internal/lockfile"
	"overland/internal/progress"
	"overland/internal/record"
)

// Verify returns the entries of o.Lock that do not hold: see record.Verify. It uses only o.Store,
// o.Lock and o.Pins, and no network.
func Verify(ctx context.Context, o Options) ([]error, error) {
	r := record.NewReplayer(o.Store, o.Lock)
	r.Verified = teller(o)
	s := &session{o: o, getter: r}
	if err := s.openTools(ctx); err != nil {
		return nil, err
	}
	return record.Verify(ctx, r, append(s.protocols(), plain.Protocol{Pins: o.Pins})...), nil
}

// teller returns what tells o.Progress how far Verify is: first with reading, then with proofs.
func teller(o Options) func(lockfile.Entry, bool) {
	if o.Progress == nil {
		return nil
	}
	var total int64
	for _, e := range o.Lock.Entries {
		total += e.Size
	}
	of := func(step string) progress.Event {
		return progress.Event{Step: step, What: filepath.Base(o.LockFile), Total: total}
	}
	read, proof := of("read"), of("prove")
	return func(e lockfile.Entry, proved bool) {
		at := &read
		if proved {
			at = &proof
		}
		at.Done += e.Size
		o.Progress(*at)
	}
}
