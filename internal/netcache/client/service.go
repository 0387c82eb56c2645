package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/httpx"
	"overland/internal/netcache"
)

const (
	answerTime = time.Hour // for the head of an answer: after an upload a server hashes it
	redirects  = 5
)

// service is one address that is spoken to.
type service struct {
	base string // without the last "/"
	http *http.Client
}

func newService(base string, files netcache.TLSFiles) (*service, error) {
	if base == "" {
		return nil, nil // no address, no service: callers ask configured
	}
	// A reader by plain HTTP often has the files of a writer
	// configured that are not on this machine.
	secure := strings.HasPrefix(base, "https:")
	var trusted *authorities
	if files.CA != "" && secure {
		var err error
		if trusted, err = readAuthorities(files.CA); err != nil {
			return nil, err
		}
	}
	var certs []tls.Certificate
	if files.Cert != "" && secure {
		key := cmp.Or(files.Key, files.Cert) // one file may hold both
		c, err := tls.LoadX509KeyPair(files.Cert, key)
		if err != nil {
			return nil, errs.E(errs.Invalid, fmt.Errorf("client certificate %s: %w", files.Cert, err))
		}
		if err := netcache.CheckPrivate(key); err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	t := httpx.NewTransport(httpx.Ways{Change: func(t *http.Transport) {
		t.ForceAttemptHTTP2, t.ResponseHeaderTimeout = false, answerTime
		t.TLSClientConfig.Certificates = certs
		if trusted != nil {
			trusted.set(t)
		}
	}})
	return &service{base: strings.TrimSuffix(base, "/"), http: &http.Client{Transport: t, CheckRedirect: redirect}}, nil
}

// redirect follows the redirects of reads, but not out of TLS; an upload follows none.
func redirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || (first.URL.Scheme == "https" && r.URL.Scheme != "https") {
		return http.ErrUseLastResponse
	}
	if len(via) > redirects {
		return errs.Errorf(errs.Unavailable, "more than %d redirects", redirects)
	}
	return nil
}

// configured returns an error when s has no address; option is the one that
// gives it, of the download cache.
func (n *Client) configured(s *service, option string) error {
	if s == nil {
		if n.o.Binary {
			option = strings.Replace(option, "load-", "load-binary-", 1)
		}
		return errs.Hint(errs.Errorf(errs.Invalid, "no %s is configured", option), "set it in the section [networkcache]")
	}
	return nil
}

// target returns the URL of what is called name below the base, "" for the base itself.
func (s *service) target(name string) string {
	if name != "" {
		return s.base + "/" + netcache.EscapeKey(name)
	}
	if u, err := url.Parse(s.base); err == nil && u.Path == "" {
		return s.base + "/"
	}
	return s.base
}

// do sends one request for what is called name.
func (s *service) do(ctx context.Context, method, name string, body io.Reader, size int64, header http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.target(name), body)
	if err != nil {
		return nil, errs.E(errs.Invalid, err)
	}
	r.ContentLength = size
	for k, v := range header {
		r.Header[k] = v
	}
	resp, err := s.http.Do(r)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, explain(httpx.RedactedError(err))
	}
	return resp, nil
}

// explain gives the error of a request its kind, and a hint where a person can mend it.
func explain(err error) error {
	if wrong := (*tls.CertificateVerificationError)(nil); errors.As(err, &wrong) {
		// Not Untrusted: nothing that the server says is believed anyway.
		return errs.Hint(errs.E(errs.Unavailable, err), "name the server's certificate, or who signed it: shacache-ca-file, shadir-ca-file")
	}
	if errs.KindOf(err) == errs.Internal {
		return errs.E(errs.Unavailable, err)
	}
	return err
}

// refused returns the error that an answer means, with the first line of what the server says.
func refused(resp *http.Response) error {
	const enough = 200
	b, _ := fsx.Head(resp.Body, enough)
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	kind := httpx.KindOf(resp.StatusCode)
	switch resp.StatusCode {
	case http.StatusFound:
		kind = errs.Denied // live servers redirect writers without a certificate to a login
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		kind = errs.Invalid
	}
	err := errs.Errorf(kind, "%s %s: %s: %q", resp.Request.Method, httpx.RedactedURL(resp.Request.URL), resp.Status, line)
	if kind == errs.Denied {
		return errs.Hint(err, "unless the server says otherwise, it does not know the client certificate: shacache-cert-file, shadir-cert-file")
	}
	return err
}
