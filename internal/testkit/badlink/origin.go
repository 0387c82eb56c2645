package badlink

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mischief is the one way in which an Origin misbehaves towards requests for blobs.
type Mischief int

// The kinds of mischief.
const (
	Honest        Mischief = iota
	Portal                 // 200 with a web page, whatever was asked
	PortalSameLen          // 200, application/octet-stream, the right length, other bytes
	IgnoreRange            // 200 from the beginning where 206 was asked
	WrongRange             // 206 whose Content-Range is not what was asked
	RangeTooLong           // a Content-Range that says the blob is larger
	LongLength             // Content-Length of more than is sent
	ShortBody              // a body that ends early, in a way that looks whole: chunked
	Endless                // chunked, and never ends
	Gzipped                // Content-Encoding: gzip, though nobody asked
	Redirects              // 302 to itself
	Unavailable            // 503
	NoLength               // HTTP/1.0 style: the end of the connection is the end of the body
	Liar                   // flips the bytes at Origin.Flips
)

// Origin is a site that serves blobs and metadata from memory over TLS 1.3.
// It is safe for concurrent use.
type Origin struct {
	l    net.Listener
	srv  *http.Server
	pin  string
	done chan struct{}

	mu       sync.Mutex
	blobs    map[string][]byte // by "sha256:HEX"
	trust    map[string][]byte // by name
	mischief Mischief
	flips    []int64 // offsets in every blob long enough
	instead  http.Handler
	requests int
	sent     int64
}

// NewOrigin serves on l, which it owns from now on; nil is a free port of the loopback address. It
// panics when no key can be made.
func NewOrigin(l net.Listener, blobs ...[]byte) *Origin {
	if l == nil {
		var err error
		if l, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
			panic(err)
		}
	}
	cert, pin := certificate()
	o := &Origin{l: l, pin: pin, blobs: map[string][]byte{}, trust: map[string][]byte{}, done: make(chan struct{})}
	for _, b := range blobs {
		o.Add(b)
	}
	o.srv = &http.Server{
		Handler:           o,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}}
	go func() {
		defer close(o.done)
		_ = o.srv.Serve(tls.NewListener(l, config))
	}()
	return o
}

func certificate() (tls.Certificate, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, "sha256:" + hex.EncodeToString(sum[:])
}

// Add gives the Origin a blob and returns its digest.
func (o *Origin) Add(b []byte) string {
	sum := sha256.Sum256(b)
	d := "sha256:" + hex.EncodeToString(sum[:])
	o.mu.Lock()
	defer o.mu.Unlock()
	o.blobs[d] = b
	return d
}

// AddTrust gives the Origin a metadata file.
func (o *Origin) AddTrust(name string, b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.trust[name] = b
}

// Set makes the Origin misbehave from now on. flips are the offsets at which a Liar lies.
func (o *Origin) Set(m Mischief, flips ...int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mischief, o.flips = m, flips
}

// Serve has h answer everything from now on: a real site behind the Origin's certificate.
func (o *Origin) Serve(h http.Handler) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.instead = h
}

// Addr returns the address that is listened on.
func (o *Origin) Addr() string { return o.l.Addr().String() }

// URL returns the URL that reaches the Origin by way of addr: its own, or a Link's.
func (o *Origin) URL(addr string) string { return "https://" + addr + "#" + o.pin }

// Requests returns how many requests came, and how many bytes of bodies were handed to the network.
func (o *Origin) Requests() (n int, sent int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests, o.sent
}

// Close ends every connection and returns when the server has ended.
func (o *Origin) Close() error {
	err := o.srv.Close()
	<-o.done
	return err
}

// ServeHTTP answers one request, well or badly.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests++
	body, ok := o.blobs[strings.TrimPrefix(r.URL.EscapedPath(), "/v1/blobs/")]
	if name, isTrust := strings.CutPrefix(r.URL.EscapedPath(), "/v1/trust/"); isTrust {
		body, ok = o.trust[name]
	}
	m, flips, instead := o.mischief, o.flips, o.instead
	o.mu.Unlock()
	if instead != nil {
		instead.ServeHTTP(w, r)
		return
	}
	if !ok && m != Portal && m != Redirects && m != Unavailable {
		http.Error(w, `{"code":"notfound"}`, http.StatusNotFound)
		return
	}
	o.misbehave(&counted{w, o}, r, body, m, flips)
}

type counted struct {
	http.ResponseWriter
	o *Origin
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.o.mu.Lock()
	c.o.sent += int64(n)
	c.o.mu.Unlock()
	return n, err
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

const page = "<!DOCTYPE html><title>Welcome</title><h1>Please accept our terms to use this network</h1>"

func (o *Origin) misbehave(w http.ResponseWriter, r *http.Request, body []byte, m Mischief, flips []int64) {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	off := int64(0)
	if s, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		off, _ = strconv.ParseInt(strings.TrimSuffix(s, "-"), 10, 64)
	}
	off = min(off, int64(len(body)))
	rest := body[off:]
	switch m {
	case Portal:
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	case PortalSameLen:
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(bytes.Repeat([]byte("x"), len(body)))
	case IgnoreRange:
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	case WrongRange:
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 0, len(rest)-1, len(body)))
		h.Set("Content-Length", strconv.Itoa(len(rest)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(body[:len(rest)])
	case RangeTooLong:
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, len(body)+9, len(body)+10))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(rest)
	case LongLength:
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	case ShortBody:
		_, _ = w.Write(rest[:len(rest)/2])
		_ = http.NewResponseController(w).Flush()
	case Endless:
		for {
			if _, err := w.Write(body); err != nil {
				return
			}
		}
	case Gzipped:
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(rest)
		_ = z.Close()
	case Redirects:
		h.Set("Location", r.URL.Path+"?again")
		w.WriteHeader(http.StatusFound)
	case Unavailable:
		w.WriteHeader(http.StatusServiceUnavailable)
	case NoLength:
		o.noLength(w, rest)
	case Liar:
		body = bytes.Clone(body)
		for _, at := range flips {
			if at < int64(len(body)) {
				body[at] ^= 1
			}
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	default:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	}
}

// noLength sends body the way that HTTP/1.0 did: the end of the connection is its end.
func (o *Origin) noLength(w http.ResponseWriter, body []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
	_, _ = conn.Write(body[:len(body)/2])
}
