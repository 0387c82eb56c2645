package site

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	frameHeaders      = 0x1 // RFC 9113 §6
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameWindow       = 0x8
	frameContinuation = 0x9

	endStream, endHeaders = 0x1, 0x4
)

// frame returns one frame of HTTP/2.
func frame(kind, flags byte, stream uint32, payload []byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// floods returns what floods a server that speaks HTTP/2, some thousand frames each.
func floods() map[string][]byte {
	const many = 4000
	get := []byte{0x82, 0x87, 0x84, 0x41, 0x01, 'x'} // GET https / with the authority x, in HPACK
	flood := func(first []byte, each func(stream uint32) []byte) []byte {
		b := bytes.NewBufferString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		b.Write(frame(frameSettings, 0, 0, first))
		for i := range uint32(many) {
			b.Write(each(2*i + 1))
		}
		return b.Bytes()
	}
	ask := func(stream uint32) []byte { return frame(frameHeaders, endStream|endHeaders, stream, get) }
	return map[string][]byte{
		"rapid reset": flood(nil, func(s uint32) []byte { return append(ask(s), frame(frameReset, 0, s, make([]byte, 4))...) }),
		"continuation": flood(nil, func(s uint32) []byte {
			if s == 1 {
				return frame(frameHeaders, endStream, 1, get)
			}
			return frame(frameContinuation, 0, 1, []byte("\x00\x01a\x01b"))
		}),
		"settings":        flood(nil, func(uint32) []byte { return frame(frameSettings, 0, 0, nil) }),
		"ping":            flood(nil, func(uint32) []byte { return frame(framePing, 0, 0, make([]byte, 8)) }),
		"a window of 0":   flood([]byte{0, 4, 0, 0, 0, 0}, ask),
		"windows":         flood(nil, func(uint32) []byte { return frame(frameWindow, 0, 0, []byte{0, 0, 0, 1}) }),
		"priority":        flood(nil, func(s uint32) []byte { return frame(framePriority, 0, s, []byte{0, 0, 0, 0, 255}) }),
		"a table of 4 GB": flood([]byte{0, 1, 255, 255, 255, 255, 0, 6, 255, 255, 255, 255}, ask),
	}
}

// No listener of a site speaks HTTP/2, whatever a client offers or sends: its floods are one bad request, others are
// served meanwhile, and its connection is closed.
func TestFloodsOfHTTP2AreOneBadRequest(t *testing.T) {
	face := make(chan string, 1)
	o := Options{Cache: CacheOptions{Listen: "127.0.0.1:0", Upstreams: map[string][]string{"go": {newProxy(t).URL}}}}
	o.Cache.Ready = func(a string) { face <- a }
	secure, _ := siteWith(t, o)
	plain := <-face
	connect := func(addr string, offers []string) (net.Conn, error) {
		c := dialFrom(t, "127.0.0.2", addr)
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if offers == nil {
			return c, nil
		}
		s := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: offers})
		return s, s.HandshakeContext(t.Context())
	}
	if _, err := connect(secure, []string{"h2"}); err == nil || !strings.Contains(err.Error(), "no application protocol") {
		t.Errorf("HTTP/2 alone is offered: %v", err)
	}
	served(t, "127.0.1.1", secure, "/v1/health", true)
	served(t, "127.0.1.1", plain, "/v2/", false)
	var all sync.WaitGroup
	for name, flood := range floods() {
		for addr, offers := range map[string][]string{secure: {"h2", "http/1.1"}, plain: nil} {
			c, err := connect(addr, offers)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() { _, _ = c.Write(flood) }) // it ends with the connection
			all.Go(func() {
				answer, _ := io.ReadAll(c) // or with its reset
				if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 505")) {
					t.Errorf("%s: answered with %.60q", name, answer)
				}
				if len(answer) > 1<<10 {
					t.Errorf("%s: %d bytes of an answer", name, len(answer))
				}
			})
		}
	}
	served(t, "127.0.1.2", secure, "/v1/health", true)
	served(t, "127.0.1.2", plain, "/v2/", false)
	all.Wait()
	c, err := connect(plain, nil)
	if err == nil {
		_, err = fmt.Fprintf(c, "GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
		t.Errorf("an upgrade: %.60q, %v", answer, err)
	}
}
