package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// lively ends a body that brings no byte for a while: its connection is dead. It would hold up the next part of an upload,
// and take a reader's place, also when nobody knows who sends it.
type lively struct {
	io.ReadCloser
	c     *http.ResponseController
	stall time.Duration
}

// watched returns r with a body that ends when nothing comes for so long.
func watched(w http.ResponseWriter, r *http.Request, stall time.Duration) *http.Request {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &lively{r.Body, http.NewResponseController(w), stall}
	}
	return r
}

// Read implements io.Reader.
func (l *lively) Read(p []byte) (int, error) {
	// Where it is not supported, somebody else watches.
	_ = l.c.SetReadDeadline(time.Now().Add(l.stall))
	n, err := l.ReadCloser.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
