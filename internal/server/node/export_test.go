package node

import (
	"context"
	"net/http"
)

// Served returns how many requests the handler h, of New, serves right now.
func Served(h http.Handler) int { return h.(*handler).places.Served() }

// Occupy takes a place for a request of the handler h, of New, and returns what gives it back.
func Occupy(h http.Handler) (end func()) {
	end, _ = h.(*handler).places.Enter(context.Background(), 1)
	return end
}
