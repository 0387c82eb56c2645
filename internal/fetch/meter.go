package fetch

import (
	"sync"
	"time"
)

const eventEvery = 200 * time.Millisecond

// meter makes Events of the bytes that come in.
type meter struct {
	tell func(Event) // nil: nobody listens
	last time.Time   // of the last event
	at   int64       // e.Moved then

	mu sync.Mutex // waits comes from another goroutine
	e  Event
}

// moved counts n bytes taken from source; done of the blob are on disk.
func (m *meter) moved(source string, n int, done int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.e.Moved += int64(n)
	m.e.Source, m.e.Done = source, done
	if m.tell == nil {
		return
	}
	if since := time.Since(m.last); since >= eventEvery {
		m.measure(since)
		m.tell(m.e)
	}
}

// waits counts an interim answer.
func (m *meter) waits() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.e.Waits++
	if m.tell != nil {
		m.tell(m.e)
	}
}

// end sends the last event.
func (m *meter) end(done int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.e.Done = done
	if m.tell != nil {
		m.measure(time.Since(m.last))
		m.tell(m.e)
	}
}

// measure mixes the rate since the last event into the smoothed one: half of
// it is older than about a second.
func (m *meter) measure(since time.Duration) {
	if since <= 0 {
		return
	}
	rate := float64(m.e.Moved-m.at) / since.Seconds()
	weight := since.Seconds() / (since.Seconds() + 1)
	if m.e.Rate == 0 {
		weight = 1
	}
	m.e.Rate = int64(weight*rate + (1-weight)*float64(m.e.Rate))
	m.last, m.at = time.Now(), m.e.Moved
}
