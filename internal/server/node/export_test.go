package node

import "net/http"

// Slots returns what holds one element per request that the handler h, of New, serves right now.
func Slots(h http.Handler) chan struct{} { return h.(*handler).slots }
