package httpx

import (
	"context"
	"net/http"
	"sync"

	"overland/internal/errs"
)

// errNobody ends a wait that would end nowhere.
var errNobody = errs.Errorf(errs.NotFound, "no upstream of the requesting site has it")

// UnlessNobody returns ctx, which ends as not found when every upstream lacks the thing. It is for
// another site's request that joins a fetch under way: that fetch took another path, and in a ring
// of sites it may wait for the very site that asks now. Upstream is asked again with this request's
// own Via, so that the site which closes the ring says no at once. The caller calls done.
func UnlessNobody(ctx context.Context, lacks ...func(ctx context.Context) bool) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		for _, lacks := range lacks {
			if !lacks(ctx) {
				return
			}
		}
		cancel(errNobody)
	})
	return ctx, func() { cancel(nil); asking.Wait() }
}

// Lacks reports whether url answers that it has no such thing, and cannot get it. A redirect does
// not count: what another host lacks says nothing. With tell set, the other side is a site and is
// told the way of the request.
func Lacks(ctx context.Context, transport http.RoundTripper, method, url string, tell bool) bool {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return false
	}
	if tell {
		Forward(ctx, req.Header)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusNotFound
}
