package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/flight"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/record"
	"overland/internal/store"
)

// told is the protocol of files, and tells how its bytes are asked for before they are all there.
type told struct {
	files
	once  sync.Once
	early chan struct{} // closed when it is first asked how something is served
	serve func(e lockfile.Entry, body io.Reader) io.Reader
}

func newTold(origin string) *told { return &told{files: files{origin}, early: make(chan struct{})} }

func (p *told) Serve(_ record.Item, e lockfile.Entry, body io.Reader, _ string) (io.Reader, string, error) {
	p.once.Do(func() { close(p.early) })
	if p.serve != nil {
		body = p.serve(e, body)
	}
	return body, e.MediaType, nil
}

// kept is a blob in memory that counts what is left open of it.
type kept struct {
	*bytes.Reader
	open *atomic.Int64
}

func (k kept) Close() error { k.open.Add(-1); return nil }

// arrival is a Getter whose calls end as end says, once the bytes have come and proof is closed.
type arrival struct {
	calls  flight.Group[string, *origin.Answer]
	up     *origin.Client
	closed bool // the answer is closed before anybody hears of its bytes
	proof  chan struct{}
	end    func(e *lockfile.Entry) error
	open   atomic.Int64
	got    chan struct{} // one for each blob that was given
}

func (a *arrival) Get(ctx context.Context, _ record.Protocol, it record.Item) (lockfile.Entry, store.Blob, error) {
	var body []byte
	var entry lockfile.Entry
	_, err := record.Join(ctx, &a.calls, it.Key, func(ctx context.Context, c *flight.Call[*origin.Answer]) (*origin.Answer, error) {
		var flow *origin.Flow
		ask := record.Share(it.Request(), c)
		if a.closed {
			ask.Begun = func(f *origin.Flow) { flow = f }
		}
		answer, err := a.up.Get(ctx, ask)
		if err != nil {
			return nil, err
		}
		body, err = io.ReadAll(answer.Body)
		entry = lockfile.Entry{Protocol: it.Protocol, Key: it.Key, Status: http.StatusOK, Blob: answer.Digest, Size: answer.Size, MediaType: answer.MediaType}
		if a.closed {
			answer.Close()
			c.Share(flow)
		} else {
			defer answer.Close()
		}
		<-a.proof
		return nil, errors.Join(err, a.end(&entry))
	}).Wait(ctx)
	if err != nil {
		return lockfile.Entry{}, nil, err
	}
	if entry.Blob == "" {
		return entry, nil, nil
	}
	a.open.Add(1)
	a.got <- struct{}{}
	return entry, kept{bytes.NewReader(body), &a.open}, nil
}

func newArrival(t *testing.T) *arrival {
	t.Helper()
	a := &arrival{up: quick(t), proof: make(chan struct{}), got: make(chan struct{}, 1), end: func(*lockfile.Entry) error { return nil }}
	t.Cleanup(a.calls.Close)
	return a
}

// whole is an origin that sends body at once.
func whole(t *testing.T, body []byte) *server {
	t.Helper()
	return newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("unknown") == "" {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		_, _ = w.Write(body)
		_ = http.NewResponseController(w).Flush()
	})
}

// What has come whole before anybody could open it is answered as any other, not cut.
func TestWhatCameWholeIsAnswered(t *testing.T) {
	body := bytes.Repeat(content, 12)
	p, a := newTold(whole(t, body).URL), newArrival(t)
	a.closed = true
	go func() {
		<-p.early // the bytes would be handed on now
		close(a.proof)
	}()
	w := httptest.NewRecorder()
	record.Answer(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil), a, p, p.item("x"), "")
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), body) || w.Header().Get("Etag") == "" || a.open.Load() != 0 {
		t.Errorf("%d, %d bytes, %v; %d left open", w.Code, w.Body.Len(), w.Header(), a.open.Load())
	}
}

// What a protocol makes anew is not handed on as it comes.
func TestWhatIsMadeAnewWaitsForTheWhole(t *testing.T) {
	p, a := newTold(whole(t, bytes.Repeat(content, 12)).URL), newArrival(t)
	p.serve = func(lockfile.Entry, io.Reader) io.Reader { return strings.NewReader("anew") }
	go func() {
		<-p.early
		close(a.proof)
	}()
	w := httptest.NewRecorder()
	record.Answer(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil), a, p, p.item("x"), "")
	if w.Body.String() != "anew" {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}

// What is soon there, and what cannot be answered before it is, is answered with its digest and in the
// part that was asked for.
func TestWhatIsNotHandedOnAsItComes(t *testing.T) {
	body := bytes.Repeat(content, 12)
	for name, test := range map[string]struct {
		body           []byte
		field          string
		status, length int
	}{
		"little":             {body: content, status: http.StatusOK, length: len(content)},
		"a part":             {body: body, field: "bytes=5000-6000", status: http.StatusPartialContent, length: 1001},
		"its last bytes":     {body: body, field: "bytes=786400-", status: http.StatusPartialContent, length: 32},
		"a part that is not": {body: body, field: "bytes=99999999-", status: http.StatusRequestedRangeNotSatisfiable},
	} {
		p, a := newTold(whole(t, test.body).URL), newArrival(t)
		close(a.proof)
		a.end = func(*lockfile.Entry) error {
			select { // the time in which it might be handed on
			case <-p.early:
			case <-time.After(20 * time.Millisecond):
			}
			return nil
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
		if test.field != "" {
			r.Header.Set("Range", test.field)
		}
		w := httptest.NewRecorder()
		record.Answer(w, r, a, p, p.item("x"), "")
		if w.Code != test.status || test.length > 0 && (w.Body.Len() != test.length || w.Header().Get("Etag") == "") {
			t.Errorf("%s: %d, %d bytes, %v", name, w.Code, w.Body.Len(), w.Header())
		}
	}
}

// Until the whole is proved its last bytes are kept back, and then they come or the connection is cut.
func TestTheEndIsKeptBackUntilItIsProved(t *testing.T) {
	body := bytes.Repeat(content, 12)
	const last = 4 << 10
	t.Run("by HTTP/1.0", noCutIsSeen)
	for name, test := range map[string]struct {
		end    func(e *lockfile.Entry) error
		query  string
		header string
		fine   bool
	}{
		"proved":        {end: func(*lockfile.Entry) error { return nil }, fine: true},
		"a rest":        {end: func(*lockfile.Entry) error { return nil }, header: "bytes=700000-", fine: true},
		"refused":       {end: func(*lockfile.Entry) error { return errors.New("no") }},
		"another":       {end: func(e *lockfile.Entry) error { e.Blob = digest.Of([]byte("other")); return nil }},
		"another size":  {end: func(e *lockfile.Entry) error { e.Size--; return nil }},
		"nothing":       {end: func(e *lockfile.Entry) error { e.Blob = ""; return nil }},
		"of any length": {end: func(*lockfile.Entry) error { return nil }, query: "?unknown=1", fine: true},
		"any, refused":  {end: func(*lockfile.Entry) error { return errors.New("no") }, query: "?unknown=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // an answer of unknown length waits a second
			p, a := newTold(whole(t, body).URL), newArrival(t)
			a.end = test.end
			p.serve = func(e lockfile.Entry, body io.Reader) io.Reader {
				if e.Size < 0 {
					t.Errorf("a protocol is told a size of %d", e.Size)
				}
				return body
			}
			it := p.item("x" + test.query)
			it.Key = "x"
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { record.Answer(w, r, a, p, it, "") }))
			defer srv.Close()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := body
			if test.header != "" {
				req.Header.Set("Range", test.header)
				want = body[700_000:]
			}
			res, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			head := make([]byte, len(want)-last)
			if _, err := io.ReadFull(res.Body, head); err != nil {
				t.Fatal(err)
			}
			early := make(chan int, 1)
			go func() {
				n, _ := res.Body.Read(make([]byte, 1))
				early <- n
			}()
			select {
			case n := <-early:
				t.Errorf("%d bytes more, before the proof", n)
				early <- n
			case <-p.early:
			}
			close(a.proof)
			n := <-early
			rest, err := io.ReadAll(res.Body)
			if fine := err == nil && n+len(rest) == last; fine != test.fine || !test.fine && n+len(rest) != 0 {
				t.Errorf("%d bytes more, %v", n+len(rest), err)
			}
			if !bytes.Equal(head, want[:len(head)]) || test.fine && !bytes.Equal(rest, want[len(head)+n:]) {
				t.Error("other bytes")
			}
			if unknown := test.query != ""; (res.ContentLength < 0) != unknown || !unknown && res.ContentLength != int64(len(want)) {
				t.Errorf("length %d", res.ContentLength)
			}
			srv.Close()
			if a.open.Load() != 0 {
				t.Errorf("%d are left open", a.open.Load())
			}
		})
	}
}

// A client of HTTP/1.0 takes a connection that is cut for the end, when no length was said before: it
// waits for the whole.
func noCutIsSeen(t *testing.T) {
	t.Parallel() // as above
	p, a := newTold(whole(t, bytes.Repeat(content, 12)).URL), newArrival(t)
	a.end = func(*lockfile.Entry) error { return errors.New("no") }
	go func() {
		<-p.early
		close(a.proof)
	}()
	it := p.item("x?unknown=1")
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
	r.Proto, r.ProtoMinor = "HTTP/1.0", 0
	w := httptest.NewRecorder()
	record.Answer(w, r, a, p, it, "")
	if w.Code == http.StatusOK {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}

// A client that asks for the head alone gets it at once, too, and nothing of it stays open.
func TestTheHeadComesAtOnce(t *testing.T) {
	body := bytes.Repeat(content, 12)
	p, a := newTold(whole(t, body).URL), newArrival(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { record.Answer(w, r, a, p, p.item("x"), "") }))
	defer srv.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req)
	if err != nil || res.StatusCode != http.StatusOK || res.ContentLength != int64(len(body)) {
		t.Errorf("%+v, %v", res, err)
	}
	res.Body.Close()
	close(a.proof)
	<-a.got // else it is over when the client leaves
	srv.Close()
	if a.open.Load() != 0 {
		t.Errorf("%d are left open", a.open.Load())
	}
}

// Which requests may be answered before the answer is known, and from where on.
func TestWhatMayBeAnsweredEarly(t *testing.T) {
	for header, want := range map[string]struct {
		early bool
		from  int64
	}{
		"":                                   {true, 0},
		"Range: bytes=0-":                    {true, 0},
		"Range: bytes=5000-":                 {true, 5000},
		"Range: bytes=5000-6000":             {false, 0},
		"Range: bytes=-5":                    {false, 0},
		"Range: bytes=-":                     {false, 0},
		"Range: bytes=+5-":                   {false, 0},
		"Range: bytes=5-,9-":                 {false, 0},
		"Range: lines=5-":                    {false, 0},
		"Range: 5-":                          {false, 0},
		"Range: bytes=99999999999999999999-": {false, 1<<63 - 1},
		"If-None-Match: x":                   {false, 0},
		"If-Modified-Since: x":               {false, 0},
		"If-Match: x":                        {false, 0},
		"If-Unmodified-Since: x":             {false, 0},
		"If-Range: x":                        {true, 0},
	} {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		if name, value, ok := strings.Cut(header, ": "); ok {
			r.Header.Set(name, value)
		}
		if early, from := record.Early(r, record.Item{}); early != want.early || from != want.from {
			t.Errorf("%s: %v, %d", header, early, from)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/x", nil)
	r.Header.Set("Range", "bytes=5-")
	if early, _ := record.Early(r, record.Item{Whole: true}); early {
		t.Error("a part of what passes whole")
	}
	r.Header.Set("If-Range", "x")
	if early, from := record.Early(r, record.Item{}); !early || from != 0 {
		t.Errorf("a range of a version: %v, %d", early, from)
	}
	if early, _ := record.Early(httptest.NewRequest(http.MethodPost, "/x", nil), record.Item{Method: http.MethodPost}); early {
		t.Error("an answer to POST")
	}
	if ctx := record.Streaming(t.Context()); !record.Streamed(ctx) || record.Streamed(record.Whole(ctx)) {
		t.Error("who waits for the whole")
	}
}
