package admission

import (
	"context"
	"sync"
)

// Turns lets each client do only so many things at once; more wait for their turn. Work for nobody
// that is known is not counted. It is safe for concurrent use.
type Turns struct {
	Most int // of one client at once

	mu sync.Mutex
	by map[Client]*lane
}

// lane is one client's.
type lane struct {
	places chan struct{}
	users  int // that have a place or wait
}

type turnKey struct{}

// Begin waits for the turn of the client of ctx, and returns the context for the work, which may itself
// begin more without waiting, and what ends the turn. The error is that of ctx.
func (t *Turns) Begin(ctx context.Context) (_ context.Context, end func(), err error) {
	who := For(ctx)
	if who == (Client{}) || ctx.Value(turnKey{}) != nil {
		return ctx, func() {}, nil
	}
	t.mu.Lock()
	if t.by == nil {
		t.by = map[Client]*lane{}
	}
	l := t.by[who]
	if l == nil {
		l = &lane{places: make(chan struct{}, t.Most)}
		t.by[who] = l
	}
	l.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(t.by, who)
		}
	}
	select {
	case l.places <- struct{}{}:
		return context.WithValue(ctx, turnKey{}, true), sync.OnceFunc(func() { <-l.places; leave() }), nil
	case <-ctx.Done():
		leave()
		return ctx, func() {}, context.Cause(ctx)
	}
}
