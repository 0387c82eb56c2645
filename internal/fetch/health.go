package fetch

import (
	"math/rand/v2"
	"time"
)

const (
	backoffCap = 40              // times the first pause
	costFactor = 8               // a source that took 10 s to fail is avoided for 80 s while another one works
	avoidCap   = 5 * time.Minute // but not for longer
	goodEnough = 64 << 10        // bytes of an attempt that failed in the end but clears the source's record
)

// health is what a Fetcher remembers about a source from call to call, so that a thousand small blobs do not each
// wait for the same dead peer. Guarded by Fetcher.mu.
type health struct {
	fails int       // in a row
	rest  time.Time // not asked before, even when alone
	avoid time.Time // not asked before while another source works
}

// failed records an attempt that brought got new bytes and cost so much time for nothing.
func (h *health) failed(base, cost time.Duration, got int64) {
	now := time.Now()
	var pause time.Duration
	switch {
	case got >= goodEnough:
		h.fails = 0
	case got > 0:
		h.fails = 1 // a link that is cut after every few bytes moves on, but not in a busy loop
	default:
		h.fails++
	}
	if h.fails > 0 {
		pause = min(base<<min(h.fails-1, 10), base*backoffCap)
		pause = pause/2 + rand.N(pause/2+1)
	}
	h.rest = now.Add(pause)
	h.avoid = now.Add(max(pause, min(costFactor*cost, avoidCap)))
}
