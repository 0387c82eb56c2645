package admission

import (
	"net/http"
	"time"
)

// The limits of a Server.
const (
	headerTime = 30 * time.Second // of a request's header and of the TLS handshake, which fit 4 KB/s many times
	idleTime   = 2 * time.Minute
)

// Server returns a server with limits for what clients may send before a handler runs: a header of so many bytes, within
// half a minute. On a Listener it tells which connections are idle.
func Server(h http.Handler, header int) *http.Server {
	return &http.Server{
		Handler: h, ConnState: ConnState, ConnContext: ConnContext,
		ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: header, DisableGeneralOptionsHandler: true,
	}
}
