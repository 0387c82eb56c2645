package origin_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"overland/internal/errs"
	"overland/internal/origin"
)

// hostile answers each connection with what answer writes.
func hostile(t *testing.T, answer func(w io.Writer) error) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4<<10)) // the request
			_ = answer(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/x"
}

// endless writes first, and piece again and again, until nobody reads.
func endless(first, piece string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, first)
		for many := strings.Repeat(piece, 1+(8<<10)/len(piece)); err == nil; {
			_, err = io.WriteString(w, many)
		}
		return err
	}
}

// An origin that goes on without end before, in or behind an answer is left, and after little.
func TestAnAnswerWithoutEnd(t *testing.T) {
	c := &origin.Client{Tries: 1, Wait: time.Millisecond, Stall: 5 * time.Second, Dir: t.TempDir()}
	t.Cleanup(c.CloseIdleConnections)
	const ok = "HTTP/1.1 200 OK\r\n"
	for what, answer := range map[string]func(io.Writer) error{
		"a status line":   endless("HTTP/1.1 200 ", "x"),
		"a header":        endless(ok, "A: b\r\n"),
		"a header's line": endless(ok+"A: ", "b"),
		"interim answers": endless("", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
		"a body":          endless(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
		"a chunk's line":  endless(ok+"Transfer-Encoding: chunked\r\n\r\n1;a=", "b"),
		"a trailer":       endless(ok+"Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n1\r\nx\r\n0\r\n", "A: b\r\n"),
		"redirects":       endless("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /x\r\nConnection: close\r\n\r\n", "x"),
		"a large header": func(w io.Writer) error {
			return endless(ok+"Content-Length: 1\r\nA: "+strings.Repeat("b", 2<<20)+"\r\n\r\n", "x")(w)
		},
	} {
		a, err := c.Get(t.Context(), origin.Request{URL: hostile(t, answer), Limit: 64 << 10})
		if err == nil {
			a.Close()
		}
		if errs.KindOf(err) != errs.Unavailable {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A redirect leads to no file, and to no scheme that nobody has asked for.
func TestARedirectLeadsToNoFile(t *testing.T) {
	secret := t.TempDir() + "/secret"
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"file://" + secret, "file:" + secret, "FILE://" + secret, "ftp://127.0.0.1/x", "unix://" + secret, "data:,x"} {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusFound)
		})
		c := quick(t)
		c.Tries = 1
		if a, err := c.Get(t.Context(), want(s.URL, "x")); err == nil {
			t.Errorf("%s: %d bytes", to, a.Size)
			a.Close()
		}
	}
}

// A body that unpacks to hardly anything, over something without end, costs no more than the limit.
func TestCodingsThatComeToNothing(t *testing.T) {
	const limit = 1 << 20
	nothing := packed(nil)
	middle := bytes.Repeat(nothing, 2*limit/len(nothing)) // members of gzip without content
	for codings, body := range map[string][]byte{"gzip, gzip": packed(middle), "gzip, gzip, gzip": packed(packed(middle))} {
		file, err := os.CreateTemp(t.TempDir(), "")
		if err == nil {
			_, err = file.Write(body)
		}
		if err == nil {
			_, err = file.Seek(0, io.SeekStart)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		a, err := (&origin.Answer{Body: file, Header: http.Header{"Content-Encoding": {codings}}}).Decoded(limit)
		if err == nil {
			t.Errorf("%s: %d bytes from %d", codings, a.Size, len(body))
			a.Close()
		} else if errs.KindOf(err) != errs.Untrusted {
			t.Error(err)
		}
	}
}

func packed(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
