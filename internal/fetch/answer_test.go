package fetch_test

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/httpx"
	"overland/internal/store/dir"
)

// An answer is used only for the bytes that were asked for.
func TestAnswersToARange(t *testing.T) {
	s := site(t, "https://10.0.0.1:8443#"+onePin, fetch.SiteOptions{})
	for name, c := range map[string]struct {
		status int
		off    int64
		span   string
		length int64 // of the body
		size   int64 // 0 = it is no answer
	}{
		"the rest":          {206, 5, "bytes 5-9/10", 5, 10},
		"a part, unasked":   {206, 0, "bytes 0-9/10", 10, 0},
		"another part":      {206, 5, "bytes 4-9/10", 6, 0},
		"of unknown size":   {206, 5, "bytes 5-9/*", 5, 0},
		"all is here":       {416, 10, "bytes */10", 0, 10},
		"it is shorter":     {416, 10, "bytes */7", 0, 7},
		"refused within it": {416, 5, "bytes */10", 0, 0},
		"refused, unasked":  {416, 0, "bytes */10", 0, 0},
	} {
		resp := &http.Response{StatusCode: c.status, Status: http.StatusText(c.status), ContentLength: c.length, Header: http.Header{}}
		resp.Header.Set("Content-Range", c.span)
		size, err := fetch.CheckBlob(s, resp, c.off)
		if c.size == 0 && !errors.Is(err, httpx.ErrAnswer) || c.size != 0 && (err != nil || size != c.size) {
			t.Errorf("%s: %d, %v", name, size, err)
		}
	}
}

// A site is asked for blobs that nobody has: nothing of them stays on its disk.
func TestABlobThatNobodyHasLeavesNothing(t *testing.T) {
	path := t.TempDir()
	s, err := dir.Open(path, dir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := fetch.New(s, quick(having("empty", nil)))
	if err := f.Fetch(t.Context(), fetch.Blob{Digest: digest.Of([]byte("x")), Size: 1}); errs.KindOf(err) != errs.NotFound {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(path + "/ingest"); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
