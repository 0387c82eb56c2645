package health

import (
	"sync"
	"time"
)

// mostKeys bounds a Memory: when it is full it forgets everything, which only costs asking again.
const mostKeys = 1 << 14

// Memory remembers keys, each for its own time. The zero value works;
// it is safe for concurrent use.
type Memory[K comparable] struct {
	Clock func() time.Time // nil = the machine's

	mu   sync.Mutex
	keys map[K]span
}

type span struct{ from, to time.Time }

// now keeps the monotonic reading of the machine's clock: setting the clock does not
// change how long something is known.
func (m *Memory[K]) now() time.Time {
	if m.Clock == nil {
		return time.Now()
	}
	return m.Clock()
}

// Set remembers key from now on, for so long.
func (m *Memory[K]) Set(key K, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil || len(m.keys) >= mostKeys {
		m.keys = map[K]span{}
	}
	now := m.now()
	m.keys[key] = span{now, now.Add(d)}
}

// Has reports whether key is remembered. A clock that went back remembers nothing.
func (m *Memory[K]) Has(key K) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.keys[key]
	now := m.now()
	return ok && !now.Before(s.from) && now.Before(s.to)
}

// Forget drops key.
func (m *Memory[K]) Forget(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, key)
}
