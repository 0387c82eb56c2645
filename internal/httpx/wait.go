package httpx

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"time"
)

const (
	askHeader  = "Overland-Progress" // in a request: 102
	doneHeader = "Overland-Done"     // in an interim answer: bytes so far
	every      = time.Second         // between interim answers
	most       = 1 << 17             // interim answers to one request: a day of them
)

// Waits reports whether the client of r asked for interim answers.
func Waits(r *http.Request) bool { return r.Header.Get(askHeader) != "" }

// Wait runs do and returns its error. Until then it sends a client that asked for that an interim
// answer each time that done, how many bytes have come so far, has risen; at most one a second.
func Wait(w http.ResponseWriter, r *http.Request, done func() int64, do func() error) error {
	if !Waits(r) {
		return do()
	}
	end := make(chan error, 1)
	go func() { end <- do() }()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for told := int64(0); ; {
		select {
		case err := <-end:
			return err
		case <-tick.C:
		}
		if n := done(); n > told {
			told = n
			h := w.Header()
			h.Set(doneHeader, strconv.FormatInt(n, 10))
			w.WriteHeader(http.StatusProcessing)
			h.Del(doneHeader)
		}
	}
}

// AskWatched is Ask for a request within the Watchdog of ctx, which each such answer tells to go on
// waiting. Without one nothing is asked.
func AskWatched(ctx context.Context, h http.Header) context.Context {
	if w := WatchdogOf(ctx); w != nil {
		return Ask(ctx, h, w.waited)
	}
	return ctx
}

// Ask requests interim answers, in the header h of a request, and returns the context for it: seen
// is called for each that says that more has come.
func Ask(ctx context.Context, h http.Header, seen func()) context.Context {
	h.Set(askHeader, strconv.Itoa(http.StatusProcessing))
	var last int64
	var n int
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if n++; n > most {
				return fmt.Errorf("more than %d interim answers", most)
			}
			done, err := strconv.ParseInt(header.Get(doneHeader), 10, 64)
			if code == http.StatusProcessing && err == nil && done > last {
				last = done
				seen()
			}
			return nil
		},
	})
}
