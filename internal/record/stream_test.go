package record_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"overland/internal/digest"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// odd is how many bytes a slow origin sends beyond the half: they fill no buffer on the way.
const odd = 777

// slow is an origin that sends half of body and odd bytes, and the rest when it is told to.
type slow struct {
	*server
	body []byte
	next chan struct{}
}

func newSlow(t *testing.T, body []byte) *slow {
	t.Helper()
	s := &slow{body: body, next: make(chan struct{})}
	s.server = newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2+odd])
		_ = http.NewResponseController(w).Flush()
		<-s.next
		_, _ = w.Write(body[len(body)/2+odd:])
	})
	return s
}

// ask sends a request for x to the face of r, and reads the first n bytes of the answer.
func ask(t *testing.T, client *http.Client, base string, n int, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/files/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	head := make([]byte, n)
	if _, err := io.ReadFull(res.Body, head); err != nil {
		t.Fatal(err)
	}
	return res, head
}

func face(t *testing.T, r *record.Recorder, p record.Protocol) (*http.Client, string) {
	t.Helper()
	srv := httptest.NewServer(record.Handler(r, p))
	t.Cleanup(srv.Close)
	return srv.Client(), srv.URL
}

// A client has the first half while the origin still has the second; the end of what fails its proof
// never reaches it, and nothing of that is kept.
func TestBytesFlowWhileTheyCome(t *testing.T) {
	fine := bytes.Repeat(content, 12) // 768 KiB
	for name, body := range map[string][]byte{"fine": fine, "bad": append([]byte("bad"), fine...)} {
		o := newSlow(t, body)
		s := newStore(t)
		r := record.NewRecorder(s, record.Options{Upstream: quick(t)})
		defer r.Close()
		client, base := face(t, r, files{o.URL})
		res, head := ask(t, client, base, len(body)/2+odd)
		if res.StatusCode != http.StatusOK || res.ContentLength != int64(len(body)) || res.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %s, %v", name, res.Status, res.Header)
		}
		close(o.next)
		rest, err := io.ReadAll(res.Body)
		got := slices.Concat(head, rest)
		switch name {
		case "fine":
			if err != nil || !bytes.Equal(got, body) || r.Settle() != nil || blobs(t, s) != 1 || len(r.Problems()) != 0 {
				t.Errorf("%d bytes, %v; %v", len(got), err, r.Problems())
			}
		case "bad":
			if err == nil || len(got) == len(body) || blobs(t, s) != 0 || len(r.Problems()) != 1 || len(r.Lock().Entries) != 0 {
				t.Errorf("%d bytes, %v; %d blobs, %v", len(got), err, blobs(t, s), r.Problems())
			}
		}
	}
}

// When the client has left, the transfer goes on: the next one gets it, and the origin is asked once.
func TestATransferOutlivesItsClient(t *testing.T) {
	body := bytes.Repeat(content, 12)
	o := newSlow(t, body)
	r := record.NewRecorder(newStore(t), record.Options{Upstream: quick(t)})
	defer r.Close()
	client, base := face(t, r, files{o.URL})
	res, _ := ask(t, client, base, 1000)
	res.Body.Close()
	client.CloseIdleConnections()
	res, head := ask(t, client, base, 1000)
	close(o.next)
	rest, err := io.ReadAll(res.Body)
	if err != nil || digest.Of(slices.Concat(head, rest)) != digest.Of(body) || o.asked.Load() != 1 {
		t.Errorf("%d more bytes, %v; asked %d times", len(rest), err, o.asked.Load())
	}
}

// A client that comes back for the rest hears of it at once too; one that knows only a version that
// has no name yet gets the whole.
func TestTheRestFlowsToo(t *testing.T) {
	body := bytes.Repeat(content, 12)
	o := newSlow(t, body)
	r := record.NewRecorder(newStore(t), record.Options{Upstream: quick(t)})
	defer r.Close()
	client, base := face(t, r, files{o.URL})
	rest, head := ask(t, client, base, 1000, "Range: bytes=5000-")
	whole, _ := ask(t, client, base, 1000, "Range: bytes=5000-", "If-Range: Mon, 02 Jan 2006 15:04:05 GMT")
	close(o.next)
	more, err := io.ReadAll(rest.Body)
	if err != nil || rest.StatusCode != http.StatusPartialContent || !bytes.Equal(slices.Concat(head, more), body[5000:]) ||
		rest.Header.Get("Content-Range") != "bytes 5000-786431/786432" {
		t.Errorf("%s, %v, %d more bytes, %v", rest.Status, rest.Header, len(more), err)
	}
	if n, err := io.Copy(io.Discard, whole.Body); err != nil || whole.StatusCode != http.StatusOK || n != int64(len(body))-1000 {
		t.Errorf("%s, %d more bytes, %v", whole.Status, n, err)
	}
}

// What was put together without a validator and is not what a proof says is fetched once more, whole.
func TestWhatWasSplicedIsFetchedWholeIfItFails(t *testing.T) {
	good := bytes.Repeat(content, 12)
	n := 0
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(good)))
		switch n++; {
		case n == 1:
			_, _ = w.Write(append([]byte("bad"), good...)[:len(good)/2])
		case r.Header.Get("Range") != "":
			w.Header().Set("Content-Range", "bytes "+strconv.Itoa(len(good)/2)+"-"+strconv.Itoa(len(good)-1)+"/"+strconv.Itoa(len(good)))
			w.Header().Set("Content-Length", strconv.Itoa(len(good)-len(good)/2))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(good[len(good)/2:])
		default:
			_, _ = w.Write(good)
		}
	})
	r := record.NewRecorder(newStore(t), record.Options{Upstream: quick(t)})
	defer r.Close()
	p := files{o.URL}
	e, b, err := r.Get(t.Context(), p, p.item("x"))
	if err != nil || e.Blob != digest.Of(good) || n != 3 {
		t.Fatalf("%+v, %v, asked %d times", e, err, n)
	}
	b.Close()
}

// asking is a protocol whose answers depend on what a client sends besides.
type asking struct{ files }

func (a asking) Item(r *http.Request) (record.Item, error) {
	it, err := a.files.Item(r)
	it.Whole, it.HTML, it.Header = true, true, r.Header
	return it, err
}

func (asking) Check(context.Context, record.Item, io.ReadSeeker, record.Lookup) (lockfile.Proof, error) {
	return lockfile.Proof{}, nil
}

// Two clients ask at once, and the origin's answer says that it depends on something in which they
// differ: each gets its own, whole.
func TestClientsThatAskAtOnceGetTheirOwn(t *testing.T) {
	next := make(chan struct{})
	o := newOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		body := bytes.Repeat([]byte(r.Header.Get("X-Who")), 300<<10)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Header().Set("Vary", "X-Who")
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		<-next
		_, _ = w.Write(body[len(body)/2:])
	})
	r := record.NewRecorder(newStore(t), record.Options{Upstream: quick(t)})
	defer r.Close()
	client, base := face(t, r, asking{files{o.URL}})
	first, head := ask(t, client, base, 1000, "X-Who: a", "Accept-Encoding: identity")
	second := make(chan string)
	go func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/files/x", nil)
		if err != nil {
			second <- err.Error()
			return
		}
		req.Header.Set("X-Who", "b")
		req.Header.Set("Accept-Encoding", "identity")
		res, err := client.Do(req)
		if err != nil {
			second <- err.Error()
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		second <- fmt.Sprint(strings.Trim(string(b), "b"), len(b), err)
	}()
	for r.Waiters("files", "x") < 2 {
		runtime.Gosched()
	}
	close(next)
	rest, err := io.ReadAll(first.Body)
	if err != nil || len(head)+len(rest) != 300<<10 || strings.Trim(string(rest), "a") != "" {
		t.Errorf("%d more bytes, %v", len(rest), err)
	}
	if got := <-second; got != fmt.Sprint("", 300<<10, nil) {
		t.Errorf("%.200s", got)
	}
}
