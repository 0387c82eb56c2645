package origin_test

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
)

// memory is a Sink that remembers what it was told.
type memory struct {
	bytes.Buffer
	restarts int
	expected []int64
	refuse   error
}

func (m *memory) Restart() error {
	m.restarts++
	m.Reset()
	return nil
}

func (m *memory) Expect(n int64) error {
	m.expected = append(m.expected, n)
	return m.refuse
}

// pieces sends at most 20,000 bytes at a time, without a validator, and then cuts the connection.
func pieces(w http.ResponseWriter, r *http.Request) {
	from := 0
	if s, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, _ = strconv.Atoi(strings.TrimSuffix(s, "-"))
	}
	h := w.Header()
	h.Set("Content-Length", strconv.Itoa(len(content)-from))
	if from > 0 {
		h.Set("Content-Range", "bytes "+strconv.Itoa(from)+"-"+strconv.Itoa(len(content)-1)+"/"+strconv.Itoa(len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(content[from:min(from+20_000, len(content))])
}

// What never changes goes on where it broke off; what may change begins anew, for nothing
// says that it is still the same.
func TestOnlyWhatIsFixedIsResumedWithoutAValidator(t *testing.T) {
	s := newServer(t, pieces)
	r := want(s.URL, "x")
	r.Fixed, r.Size = true, int64(len(content))
	heard := 0
	r.Heard = func() { heard++ }
	var m memory
	if _, err := quick(t).GetInto(t.Context(), r, &m); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(m.Bytes(), content) || m.restarts != 0 || s.asked.Load() != 4 || heard < 4 {
		t.Errorf("%d bytes, %d restarts, asked %d times, heard %d times", m.Len(), m.restarts, s.asked.Load(), heard)
	}
	if len(m.expected) != 4 || m.expected[0] != r.Size || m.expected[3] != r.Size-60_000 {
		t.Errorf("told to expect %d", m.expected)
	}

	r.Fixed, m = false, memory{}
	if _, err := quick(t).GetInto(t.Context(), r, &m); errs.KindOf(err) != errs.Unavailable || m.restarts == 0 {
		t.Errorf("error %v, %d restarts", err, m.restarts)
	}
}

func TestAnotherSizeIsRefused(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/said" {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		_, _ = w.Write(content)
	})
	for path, c := range map[string]struct {
		size int64
		kind errs.Kind
	}{
		"said":   {int64(len(content)) + 1, errs.Untrusted},
		"unsaid": {int64(len(content)) - 1, errs.Untrusted},
	} {
		r := want(s.URL, path)
		r.Size = c.size
		_, err := quick(t).GetInto(t.Context(), r, &memory{})
		if errs.KindOf(err) != c.kind || !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	r := want(s.URL, "unsaid") // it ends too early, each time
	r.Size = int64(len(content)) + 1
	c := quick(t)
	c.Tries = 1
	if _, err := c.GetInto(t.Context(), r, &memory{}); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("error %v", err)
	}
}

func TestASinkEndsARequest(t *testing.T) {
	s := newServer(t, pieces)
	full := errs.Errorf(errs.Denied, "no room")
	if _, err := quick(t).GetInto(t.Context(), want(s.URL, "x"), &memory{refuse: full}); !errors.Is(err, full) || s.asked.Load() != 1 {
		t.Errorf("error %v, asked %d times", err, s.asked.Load())
	}
}
