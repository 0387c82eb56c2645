package health

import "sync"

// Change is what a Report changed.
type Change int

// The changes.
const (
	Same  Change = iota // nothing to say
	Began               // the trouble is new, or has another reason than the last one
	Ended               // it is over
)

// Trouble is a failure that may last. Its owner logs what Report says is new. The zero value works; it is safe for
// concurrent use.
type Trouble struct {
	mu     sync.Mutex
	reason string
}

// Report takes the outcome of the latest attempt, nil = it went well, and returns what is new.
func (t *Trouble) Report(err error) Change {
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.reason
	t.reason = reason
	switch reason {
	case before:
		return Same
	case "":
		return Ended
	}
	return Began
}

// Lasts reports whether the latest attempt failed.
func (t *Trouble) Lasts() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reason != ""
}
