package admission

import (
	"context"
	"time"
)

// Requests are places for requests that are served at once. It is safe for concurrent use.
type Requests struct{ places *Places }

// NewRequests returns so many places for requests.
func NewRequests(limit int) *Requests { return &Requests{NewPlaces(limit, 1<<20)} } // their connections are limited

// Enter waits for a place for a request with context ctx, and returns what gives it back. ok is false
// when it has none within patience, or ctx ends. A request that loses its place to a client
// that has fewer loses its connection.
func (q *Requests) Enter(ctx context.Context, patience time.Duration) (end func(), ok bool) {
	r := &request{conn: ConnOf(ctx), entered: make(chan struct{}), left: make(chan struct{})}
	q.places.ask(For(ctx), r, func(s *Seat) { r.seat = s })
	select {
	case <-r.entered: // as a rule
	default:
		late := time.NewTimer(patience)
		defer late.Stop()
		select {
		case <-r.entered:
		case <-r.left:
		case <-ctx.Done():
		case <-late.C:
		}
	}
	select {
	case <-r.entered:
		r.seat.Set(Active)
		return r.seat.End, true
	default:
		r.seat.End()
		return func() {}, false
	}
}

// Served returns how many have a place now.
func (q *Requests) Served() int {
	q.places.mu.Lock()
	defer q.places.mu.Unlock()
	return q.places.taken
}

type request struct {
	conn          *Conn // nil = it has none of a Listener
	seat          *Seat
	entered, left chan struct{}
}

// Enter implements Guest.
func (r *request) Enter() { close(r.entered) }

// Leave implements Guest.
func (r *request) Leave() {
	close(r.left)
	if r.conn != nil {
		r.conn.seat.evict()
	}
}

// Moved implements Guest.
func (r *request) Moved() int64 {
	if r.conn == nil {
		return 0
	}
	return r.conn.Moved()
}
