package record

import (
	"context"
	"net/http"
)

// Waiters returns how many wait for the fetch of key that is under way; 0 when there is none.
func (r *Recorder) Waiters(protocol, key string) int {
	call := r.calls.Find(name{protocol, key, ""})
	if call == nil {
		return 0
	}
	return call.Waiters()
}

// Early reports whether r may be answered before the answer is known, and the byte that it begins with.
func Early(r *http.Request, it Item) (bool, int64) {
	n, _ := offset(r)
	return streams(r, it), n
}

// Streamed reports whether a Get with that ctx may be answered while the bytes come.
func Streamed(ctx context.Context) bool { return ctx.Value(streamKey{}) != nil }

// Streaming returns ctx for a Get that may be.
func Streaming(ctx context.Context) context.Context {
	return context.WithValue(ctx, streamKey{}, &stream{begun: make(chan struct{})})
}

// Pick is what finds the line of a lock that answers a request.
var Pick = pick

// SetCookie returns what a lock holds of the Set-Cookie v.
func SetCookie(v string) string { return new(identities).setCookie("k", v) }

// SameCookies and Pairs read what a client sends.
var (
	SameCookies = sameCookies
	Pairs       = pairs
)

// Offset reads a Range.
var Offset = offset
