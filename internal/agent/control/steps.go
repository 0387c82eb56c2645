package control

import (
	"slices"
	"sync"

	"overland/internal/progress"
)

// Steps passes the steps of an installation on to everybody who waits for it. The zero value works;
// it is safe for concurrent use.
type Steps struct {
	mu        sync.Mutex
	listeners []*listener
}

type listener struct {
	mu   sync.Mutex
	tell func(progress.Event)
}

// Tell tells p to everybody who listens.
func (s *Steps) Tell(p progress.Event) {
	s.mu.Lock()
	list := slices.Clone(s.listeners)
	s.mu.Unlock()
	for _, l := range list {
		l.mu.Lock()
		l.tell(p)
		l.mu.Unlock()
	}
}

// Listen calls f with every step, one at a time, until the returned function
// is called. f must not call it.
func (s *Steps) Listen(f func(progress.Event)) (quiet func()) {
	l := &listener{tell: f}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
	return func() {
		s.mu.Lock()
		s.listeners = slices.DeleteFunc(s.listeners, func(o *listener) bool { return o == l })
		s.mu.Unlock()
		l.mu.Lock() // until a call of f in progress is over
		defer l.mu.Unlock()
		l.tell = func(progress.Event) {}
	}
}
