package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// ErrAnswer means that something answered in the origin's place, or wrongly: a captive
// portal, another size or range.
var ErrAnswer = errors.New("unusable answer")

// Range is a parsed Content-Range (RFC 9110 §14.4). Unknown numbers are -1; an
// unsatisfied range has no First and Last.
type Range struct{ First, Last, Size int64 }

// ParseRange reads "bytes 5-9/10", "bytes 5-9/*" or "bytes */10", and nothing
// else. Its errors wrap ErrAnswer.
func ParseRange(s string) (Range, error) {
	bad := fmt.Errorf("%w: Content-Range %.80q", ErrAnswer, s)
	rest, ok := strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return Range{}, bad
	}
	r := Range{-1, -1, -1}
	if total != "*" {
		if r.Size, ok = number(total); !ok {
			return Range{}, bad
		}
	}
	if span == "*" {
		if r.Size < 0 {
			return Range{}, bad
		}
		return r, nil
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return Range{}, bad
	}
	if r.First, ok = number(first); !ok {
		return Range{}, bad
	}
	if r.Last, ok = number(last); !ok || r.Last < r.First || r.Size >= 0 && r.Last >= r.Size {
		return Range{}, bad
	}
	return r, nil
}

// number reads digits alone: no sign, no space.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// From sets the header of a request for the bytes from off on; 0 is the whole.
func From(h http.Header, off int64) {
	if off > 0 {
		h.Set("Range", fmt.Sprintf("bytes=%d-", off))
	}
}

// OneRange lets the request with the header h have one range or the whole, which is a valid answer to
// several (RFC 9110 §14.2): a thousand small ones cost a server far more than they cost a client.
func OneRange(h http.Header) {
	if strings.Contains(h.Get("Range"), ",") || len(h.Values("Range")) > 1 {
		h.Del("Range")
	}
}

// Part returns the range of res, which has status 206 and answers a request for the bytes from off
// on. It is an error (ErrAnswer) when these are other bytes, or not as many as the head says.
func Part(res *http.Response, off int64) (Range, error) {
	r, err := ParseRange(res.Header.Get("Content-Range"))
	if err != nil {
		return r, err
	}
	if r.First != off || res.ContentLength >= 0 && res.ContentLength != r.Last-r.First+1 {
		return r, fmt.Errorf("%w: Content-Range %d-%d/%d of %d bytes, where %d- was asked", ErrAnswer, r.First, r.Last, r.Size, res.ContentLength, off)
	}
	return r, nil
}
