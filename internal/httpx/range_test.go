package httpx

import (
	"errors"
	"net/http"
	"testing"
)

func TestParseRange(t *testing.T) {
	for s, want := range map[string]Range{
		"bytes 5-9/10":   {5, 9, 10},
		"bytes 0-0/1":    {0, 0, 1},
		"bytes 5-9/*":    {5, 9, -1},
		"bytes */10":     {-1, -1, 10},
		"bytes 5-9/9999": {5, 9, 9999},
	} {
		if got, err := ParseRange(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "bytes", "bytes 5-9", "5-9/10", "bytes 9-5/10", "bytes 5-10/10", "bytes -5/10", "bytes 5-/10", "bytes */*",
		"bytes +5-9/10", "bytes 5-9/99999999999999999999", "bytes 5 - 9/10", "items 5-9/10", "bytes 1-2,4-5/10",
	} {
		if got, err := ParseRange(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes 5-9/10", "bytes */10", "bytes 5-9/*", "bytes 9-5/10", "bytes 0-9223372036854775807/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s)
		if err != nil {
			return
		}
		if r.First < -1 || r.Last < r.First || r.Size >= 0 && r.Last >= r.Size || r.First < 0 && r.Size < 0 {
			t.Errorf("%q was read as %v", s, r)
		}
	})
}

// A part must be the one that was asked for: the first byte, and as many as its head says.
func TestPart(t *testing.T) {
	for s, want := range map[string]bool{
		"bytes 5-9/10": true, "bytes 5-9/*": true, "bytes 4-8/10": false, "bytes 5-8/10": false, "bytes */10": false, "": false,
	} {
		res := &http.Response{StatusCode: http.StatusPartialContent, Header: http.Header{"Content-Range": {s}}, ContentLength: 5}
		if _, err := Part(res, 5); (err == nil) != want || err != nil && !errors.Is(err, ErrAnswer) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestIsPage(t *testing.T) {
	for _, c := range []struct {
		contentType, head string
		want              bool
	}{
		{"text/html; charset=utf-8", "", true},
		{" Text/HTML", "", true},
		{"", "\xef\xbb\xbf \r\n<!DOCTYPE HTML PUBLIC", true},
		{"application/octet-stream", "<html lang=en>", true},
		{"text/plain", "<xml", false},
		{"", "", false},
	} {
		if IsPage(c.contentType, []byte(c.head)) != c.want {
			t.Errorf("%q, %q: not %v", c.contentType, c.head, c.want)
		}
	}
}
