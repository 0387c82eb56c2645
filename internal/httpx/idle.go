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
}

// IdleBody gives r, the request that w answers, a body that ends with io.ErrUnexpectedEOF when
// no byte comes for so long: its connection is dead, and would hold up the next part of an
// upload, or take a reader's place.
func IdleBody(w http.ResponseWriter, r *http.Request, stall time.Duration) *http.Request {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &idleBody{r.Body, http.NewResponseController(w), stall}
	}
	return r
}

// Read implements io.Reader.
func (i *idleBody) Read(p []byte) (int, error) {
	// Where it is not supported, somebody else watches.
	_ = i.control.SetReadDeadline(time.Now().Add(i.stall))
	n, err := i.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
