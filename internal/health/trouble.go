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

// Trouble is a failure that may last. Its owner logs what Report says is new. The zero value works;
// it is safe for concurrent use.
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

// Troubles holds the Trouble of each of many things, by name; of one that is well it holds nothing.
// The zero value works; it is safe for concurrent use.
type Troubles[K comparable] struct {
	mu sync.Mutex
	of map[K]*Trouble
}

// Report is Trouble.Report of the thing key.
func (t *Troubles[K]) Report(key K, err error) Change {
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.of[key]
	switch {
	case one == nil && err == nil:
		return Same
	case one == nil:
		if t.of == nil || len(t.of) >= mostKeys {
			t.of = map[K]*Trouble{}
		}
		one = &Trouble{}
		t.of[key] = one
	case err == nil:
		delete(t.of, key)
	}
	return one.Report(err)
}
