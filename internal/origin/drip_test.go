package origin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/errs"
	"overland/internal/httpx"
	"overland/internal/origin"
)

// drips answers with a body of a byte every twenty seconds, for ever, and from anywhere.
type drips struct{ asked int }

func (d *drips) RoundTrip(r *http.Request) (*http.Response, error) {
	d.asked++
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(aByteAtATime{r.Context()}), ContentLength: -1, Request: r}, nil
}

type aByteAtATime struct{ ctx context.Context }

func (e aByteAtATime) Read(p []byte) (int, error) {
	select {
	case <-e.ctx.Done():
		return 0, e.ctx.Err()
	case <-time.After(20 * time.Second):
		return copy(p, "x"), nil
	}
}

// What drips in is not progress, though each attempt goes on where the last one stopped.
func TestAnOriginThatDripsIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		els   bool
		asked int
		soon  time.Duration
	}{
		"alone":              {false, origin.DefaultTries, time.Hour},
		"with others to ask": {true, 1, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d, began := &drips{}, time.Now()
				up := &origin.Client{Transport: d, Dir: dir}
				_, err := up.Get(t.Context(), origin.Request{URL: "http://origin.test/x", Fixed: true, Else: c.els})
				if !errors.Is(err, httpx.ErrDrips) || errs.KindOf(err) != errs.Unavailable {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took > c.soon || d.asked != c.asked {
					t.Errorf("asked %d times in %s", d.asked, took)
				}
			})
		})
	}
}
