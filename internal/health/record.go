package health

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	backoffCap = 40              // times the first pause
	costFactor = 8               // a source that took 10 s to fail is avoided for 80 s while another one works
	avoidCap   = 5 * time.Minute // but not for longer
	goodEnough = 64 << 10        // bytes of an attempt that failed in the end but clears the source's record
)

// Record is how a source did lately. The zero value is that of a source that is well, or unknown.
// Its owner guards it against concurrent use.
type Record struct {
	fails int       // in a row
	rest  time.Time // not asked before, even when alone
	avoid time.Time // not asked before while another source works
}

// Fails returns how often it failed in a row without bringing anything.
func (r *Record) Fails() int { return r.fails }

// Rest returns how long it is still left alone: not above 0 when it may be asked.
func (r *Record) Rest() time.Duration { return time.Until(r.rest) }

// Avoided reports whether it is to be asked only when no other source can be.
func (r *Record) Avoided() bool { return time.Until(r.avoid) > 0 }

// Failed records an attempt that brought got new bytes and cost so much time for nothing.
// base is the pause after a first failure; it doubles with each further one, up to 40
// times itself, and is jittered.
func (r *Record) Failed(base, cost time.Duration, got int64) {
	now := time.Now()
	var pause time.Duration
	switch {
	case got >= goodEnough:
		r.fails = 0
	case got > 0:
		r.fails = 1 // a link that is cut after every few bytes moves on, but not in a busy loop
	default:
		r.fails++
	}
	if r.fails > 0 {
		pause = min(base<<min(r.fails-1, 10), base*backoffCap)
		pause = pause/2 + rand.N(pause/2+1)
	}
	r.rest = now.Add(pause)
	r.avoid = now.Add(max(pause, min(costFactor*cost, avoidCap)))
}

// Records holds the Record of each of many sources, by name; of one that is well it holds nothing.
// The zero value works; it is safe for concurrent use.
type Records[K comparable] struct {
	mu sync.Mutex
	of map[K]*Record
}

// Failed is Record.Failed of the source key.
func (r *Records[K]) Failed(key K, base, cost time.Duration, got int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil || len(r.of) >= mostKeys {
		r.of = map[K]*Record{}
	}
	if r.of[key] == nil {
		r.of[key] = &Record{}
	}
	r.of[key].Failed(base, cost, got)
}

// Well clears the Record of the source key: it answered.
func (r *Records[K]) Well(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, key)
}

// Look returns how long the source key is still left alone, and whether it is to be
// asked only when no other can be.
func (r *Records[K]) Look(key K) (rest time.Duration, avoided bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one := r.of[key]; one != nil {
		return one.Rest(), one.Avoided()
	}
	return 0, false
}
