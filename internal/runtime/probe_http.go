package runtime

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"overland/internal/appfile"
	"overland/internal/httpx"
)

// bodyLimit is how much of an answer is looked at, in bytes.
const bodyLimit = 1 << 20

// httpProbe asks for a page: straight, without a proxy, and a redirect is an answer like any other.
func httpProbe(rt Runtime, inst Instance, c appfile.Check, contains string) func(context.Context) error {
	address, bad := inst.expand(c.HTTP)
	return func(ctx context.Context) error {
		if bad != nil {
			return finalError{bad}
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return finalError{err}
		}
		req.Header.Set("User-Agent", "overland-selftest")
		transport := &http.Transport{
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := dialer()(ctx, network, addr)
				if err == nil {
					if err = answers(rt, inst, c); err != nil {
						c.Close()
					}
				}
				return c, err
			},
			// The certificate of a service names its public name, not
			// 127.0.0.1; nothing secret is sent.
			TLSClientConfig: &tls.Config{InsecureSkipVerify: loopback(req.URL.Hostname())}, // loopback only
		}
		defer transport.CloseIdleConnections()
		client := &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
		answer, err := client.Do(req)
		if err != nil {
			if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
				err = wrapped.Err
			}
			return words(err)
		}
		defer answer.Body.Close()
		return checkAnswer(answer, c.Status, contains)
	}
}

func checkAnswer(answer *http.Response, status int, contains string) error {
	out := newOutput(contains)
	_, err := io.Copy(out, io.LimitReader(answer.Body, bodyLimit))
	switch {
	case status == 0 && (answer.StatusCode < 200 || answer.StatusCode > 299):
		return fmt.Errorf("status %d%s", answer.StatusCode, quote(out.kept))
	case status != 0 && answer.StatusCode != status:
		return fmt.Errorf("status %d instead of %d%s", answer.StatusCode, status, quote(out.kept))
	case out.found:
		return nil
	case err != nil:
		return fmt.Errorf("read the answer: %w", words(err))
	}
	return fmt.Errorf("no %q in the answer%s", contains, quote(out.kept))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return httpx.IsLocalhost(host) || (ip != nil && ip.IsLoopback())
}

// dialer returns how self-tests connect.
func dialer() httpx.Dial { return httpx.Localhost((&net.Dialer{}).DialContext) }
