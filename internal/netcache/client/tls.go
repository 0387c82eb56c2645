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

// trustFile makes t believe the certificates in the file: authorities, and the server's own
// certificate. That one names no host when it is an Overland site's, and needs none:
// whoever holds its key is the server.
func trustFile(t *http.Transport, path string) error {
	f, err := fsx.OpenStream(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := fsx.Read(f, path, netcache.PEMLimit)
	if err != nil {
		return err
	}
	roots, exact := x509.NewCertPool(), [][]byte{}
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			roots.AddCert(c)
			exact = append(exact, c.Raw)
		}
	}
	if len(exact) == 0 {
		return errs.Errorf(errs.Invalid, "%s: no certificate in it", path)
	}
	t.TLSClientConfig.RootCAs = roots
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
		config.VerifyConnection = func(s tls.ConnectionState) error { return verify(s.PeerCertificates, host, roots, exact) }
		return (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
	}
	return nil
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
