package node

import (
	"net/http"
	"time"
)

const pieceSize = 16 << 10 // bytes written under one deadline; also the largest TLS record

// patient is a ResponseWriter that gives the client Options.Stall for each piece, not for the whole: a client of
// 4 KB/s is served for hours, one that takes nothing is dropped.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func newPatient(w http.ResponseWriter, stall time.Duration) *patient {
	p := &patient{w, http.NewResponseController(w), stall}
	p.extend() // also for what the server itself writes after the handler
	return p
}

// extend moves the deadline. A writer that knows none (a recorder in a test) goes without.
func (p *patient) extend() { _ = p.control.SetWriteDeadline(time.Now().Add(p.stall)) }

func (p *patient) Write(b []byte) (int, error) {
	total := 0
	for {
		p.extend()
		n, err := p.ResponseWriter.Write(b[:min(len(b), pieceSize)])
		total += n
		if b = b[n:]; err != nil || len(b) == 0 {
			p.extend()
			return total, err
		}
	}
}

// WriteHeader is http.ResponseWriter's; an interim answer may come long after the request.
func (p *patient) WriteHeader(status int) {
	p.extend()
	p.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }
