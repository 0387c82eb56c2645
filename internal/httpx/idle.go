package httpx

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const pieceSize = 16 << 10 // bytes written under one deadline; also the largest TLS record

// idleWriter is a ResponseWriter with a deadline for each piece.
type idleWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

// IdleWriter returns w with a deadline for each piece that the client takes, not for the whole: one
// of 4 KB/s is served for hours, one that takes nothing for so long is dropped.
func IdleWriter(w http.ResponseWriter, stall time.Duration) http.ResponseWriter {
	i := &idleWriter{w, http.NewResponseController(w), stall}
	i.extend() // also for what the server itself writes after the handler
	return i
}

// extend moves the deadline. A writer that knows none (a recorder in a test) goes without.
func (i *idleWriter) extend() { _ = i.control.SetWriteDeadline(time.Now().Add(i.stall)) }

func (i *idleWriter) Write(b []byte) (int, error) {
	total := 0
	for {
		i.extend()
		n, err := i.ResponseWriter.Write(b[:min(len(b), pieceSize)])
		total += n
		if b = b[n:]; err != nil || len(b) == 0 {
			i.extend()
			return total, err
		}
	}
}

// WriteHeader is http.ResponseWriter's; an interim answer may come long after the request.
func (i *idleWriter) WriteHeader(status int) {
	i.extend()
	i.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (i *idleWriter) Unwrap() http.ResponseWriter { return i.ResponseWriter }

// idleBody is a request's body with a deadline for each read.
type idleBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	begun   bool          // somebody has read
	waited  time.Duration // for what came since it was last enough
	came    int           // bytes, meanwhile
}

// trickle is how many bytes must come in the time that IdleBody allows for silence: 137 a second in
// 30 s, so that a link of 4 KB/s may be shared by 30.
const trickle = 4 << 10

// IdleBody returns r, the request that w answers, with a body that ends with io.ErrUnexpectedEOF when
// nothing, or next to nothing, comes for so long: its connection is dead or its client drips, and
// would hold up the next part of an upload, or take somebody's place.
func IdleBody(w http.ResponseWriter, r *http.Request, stall time.Duration) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	own := *r // the server's keeps the body that tells it whether the client waits for 100 Continue: that one is not drained
	own.Body = &idleBody{ReadCloser: r.Body, control: http.NewResponseController(w), stall: stall}
	return &own
}

// Read implements io.Reader.
func (i *idleBody) Read(p []byte) (int, error) {
	began := time.Now()
	i.begun = true
	// Where it is not supported, somebody else watches.
	_ = i.control.SetReadDeadline(began.Add(i.stall - i.waited))
	n, err := i.ReadCloser.Read(p)
	i.waited += time.Since(began) // not the time that our own disk takes
	if i.came += n; i.came >= trickle {
		i.waited, i.came = 0, 0
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), err == nil && i.waited >= i.stall:
		err = io.ErrUnexpectedEOF
	case err != nil:
		// The server goes on reading, to see whether the client leaves: that may take as long as it likes.
		_ = i.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// Bodies returns next with IdleBody for every request, and with a limit for what nobody reads: the
// server reads some of that itself before it sends an answer.
func Bodies(next http.Handler, stall time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(stall)) // where it is not supported, somebody else watches
		own := IdleBody(w, r, stall)
		next.ServeHTTP(w, own)
		rest := stall
		if b, ok := own.Body.(*idleBody); ok && !b.begun && r.Header.Get("Expect") != "" {
			rest = 0 // the client holds its body back, and waits for the connection's end
		}
		_ = control.SetReadDeadline(time.Now().Add(rest))
	})
}
