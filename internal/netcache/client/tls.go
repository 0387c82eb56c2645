package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"

	"overland/internal/errs"
	"overland/internal/fsx"
	"overland/internal/netcache"
)

// authorities are the certificates that a server is believed by.
type authorities struct {
	roots *x509.CertPool
	exact [][]byte
}

// readAuthorities reads the certificates in the file: authorities, and the server's own
// certificate. That one names no host when it is an Overland site's, and needs none:
// whoever holds its key is the server.
func readAuthorities(path string) (*authorities, error) {
	f, err := fsx.OpenStream(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := fsx.Read(f, path, netcache.PEMLimit)
	if err != nil {
		return nil, err
	}
	a := &authorities{roots: x509.NewCertPool()}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			a.roots.AddCert(c)
			a.exact = append(a.exact, c.Raw)
		}
	}
	if len(a.exact) == 0 {
		return nil, errs.Errorf(errs.Invalid, "%s: no certificate in it", path)
	}
	return a, nil
}

// set makes t believe a, and nobody else.
func (a *authorities) set(t *http.Transport) {
	t.TLSClientConfig.RootCAs = a.roots
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		ctx, stop := context.WithTimeout(ctx, stall)
		defer stop()
		config := t.TLSClientConfig.Clone()
		config.ServerName = host
		config.InsecureSkipVerify = true // verified below, in the usual way but for the exact certificate
		config.VerifyConnection = func(s tls.ConnectionState) error { return verify(s.PeerCertificates, host, a.roots, a.exact) }
		raw, err := t.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c := tls.Client(raw, config)
		if err := c.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, err
		}
		return c, nil
	}
}

func verify(chain []*x509.Certificate, host string, roots *x509.CertPool, exact [][]byte) error {
	for _, raw := range exact {
		if bytes.Equal(raw, chain[0].Raw) {
			return nil
		}
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	return nil
}
