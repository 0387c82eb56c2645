package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"time"

	"overland/internal/testkit/badlink"
)

// link is the way to the registries over a line of some rate: an HTTP proxy behind it, which tools
// and overland are told of by the usual variables.
type link struct {
	line  *badlink.Link
	proxy *http.Server
}

// slowLink starts a link that carries mbit Mbit/s down, over all connections together.
func slowLink(ctx context.Context, mbit int64) (*link, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	const head = time.Minute
	k := &link{proxy: &http.Server{Handler: http.HandlerFunc(forward), ReadHeaderTimeout: head}}
	go func() { _ = k.proxy.Serve(l) }() // ends with Close
	if k.line, err = badlink.Listen(badlink.To(l.Addr().String()), badlink.Faults{Rate: mbit * 1e6 / 8}); err != nil {
		_ = k.proxy.Close()
		return nil, err
	}
	return k, nil
}

func (k *link) close() {
	_ = k.line.Close()
	_ = k.proxy.Close()
}

// env returns the variables, NAME=VALUE, of a program whose way the link is.
func (k *link) env() []string {
	var list []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		list = append(list, fmt.Sprintf("%s=http://%s", name, k.line.Addr()))
	}
	return list
}

// forward is a plain HTTP proxy.
func forward(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.Out.Host = p.In.Host }}).ServeHTTP(w, r)
		return
	}
	to, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer to.Close()
	from, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer from.Close()
	if _, err := io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(to, from)
		_ = to.Close()
	}()
	_, _ = io.Copy(from, to)
}
