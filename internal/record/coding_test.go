package record_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/record"
)

// packed returns b as w writes it.
func packed(t *testing.T, b []byte, w func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	z, err := w(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t *testing.T, b []byte) []byte {
	return packed(t, b, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
}

// exact is a protocol that knows what its files hold: content, packed in a .tgz.
type exact struct{ files }

func (exact) Check(_ context.Context, it record.Item, body io.ReadSeeker, _ record.Lookup) (lockfile.Proof, error) {
	in := io.Reader(body)
	if strings.HasSuffix(it.Key, ".tgz") {
		z, err := gzip.NewReader(body)
		if err != nil {
			return lockfile.Proof{}, errs.E(errs.Untrusted, err)
		}
		in = z
	}
	if b, err := io.ReadAll(in); err != nil || !bytes.Equal(b, content) {
		return lockfile.Proof{}, errs.Errorf(errs.Untrusted, "other content")
	}
	return lockfile.Proof{Kind: "files", Value: "fine"}, nil
}

// Some origins encode whatever they are asked for: what is proved, kept and served is what was encoded,
// unless the origin only says that it encoded.
func TestOriginsThatAlwaysEncode(t *testing.T) {
	zlibbed := packed(t, content, func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil })
	deflated := packed(t, content, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	zstded := packed(t, content, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
	wide := packed(t, bytes.Repeat(content, 300), func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(false))
	})
	zipped := gzipped(t, content)
	for _, c := range []struct {
		name, file, coding string
		body, want         []byte // want nil = refused, with why
		why                string
	}{
		{"gzip", "x", "gzip", zipped, content, ""},
		{"by its old name", "x", "X-GZip", zipped, content, ""},
		{"zlib", "x", "deflate", zlibbed, content, ""},
		{"what is in zlib", "x", "deflate", deflated, content, ""},
		{"zstd", "x", "zstd", zstded, content, ""},
		{"twice", "x", "deflate, identity, gzip", gzipped(t, zlibbed), content, ""},
		{"only said so", "x", "gzip", content, content, ""},
		{"only said so, not known", "x", "br", content, content, ""},
		{"the file's own coding", "x.tgz", "x-gzip", zipped, zipped, ""},
		{"a file that is encoded", "x.tgz", "gzip", gzipped(t, zipped), zipped, ""},
		{"not known", "x", "br", zipped, nil, `Content-Encoding "br": not one that can be decoded here`},
		{"too often", "x", "gzip, gzip, gzip, gzip", zipped, nil, "4 codings"},
		{"cut", "x", "gzip", zipped[:len(zipped)-100], nil, "unexpected EOF"},
		{"something else inside", "x", "gzip", gzipped(t, []byte("other")), nil, "other content"},
		{"a bomb", "x", "gzip", gzipped(t, make([]byte, 2<<20)), nil, "more than the limit"},
		{"a web page", "x", "gzip", gzipped(t, []byte("<!doctype html><p>please log in")), nil, "web page"},
		{"a window of 16 MiB", "x", "zstd", wide, nil, "window"},
	} {
		o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", c.coding)
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = w.Write(c.body)
		})
		s := newStore(t)
		r := record.NewRecorder(s, record.Options{Upstream: quick(t)})
		p := exact{files{o.URL}}
		client, base := face(t, r, p)
		res, err := client.Get(base + "/files/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case c.want != nil && (err != nil || res.StatusCode != http.StatusOK || !bytes.Equal(got, c.want) || res.Header.Get("Content-Encoding") != ""):
			t.Errorf("%s: %s, %.100q, %v", c.name, res.Status, got, err)
		case c.want != nil:
			e, ok := r.Lock().Find("files", c.file)
			if err := r.Settle(); err != nil || !ok || e.Blob != digest.Of(c.want) || e.Size != int64(len(c.want)) || blobs(t, s) != 1 {
				t.Errorf("%s: %+v, %v, %d blobs", c.name, e, err, blobs(t, s))
			}
		case res.StatusCode == http.StatusOK || !strings.Contains(string(got), c.why) || blobs(t, s) != 0 || len(r.Problems()) != 1 ||
			errs.KindOf(r.Problems()[0]) != errs.Untrusted && errs.KindOf(r.Problems()[0]) != errs.Unavailable:
			t.Errorf("%s: %s %s, %d blobs, %v", c.name, res.Status, got, blobs(t, s), r.Problems())
		}
		r.Close()
	}
}

// An encoded answer is not handed on while it comes: its client did not ask for it so.
func TestWhatIsEncodedDoesNotFlow(t *testing.T) {
	body := gzipped(t, bytes.Repeat(content, 12))
	o := newOrigin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+1<<19))
		_, _ = w.Write(append(body, make([]byte, 1<<19)...)) // long enough to flow
	})
	r := record.NewRecorder(newStore(t), record.Options{Upstream: quick(t)})
	defer r.Close()
	client, base := face(t, r, exact{files{o.URL}})
	res, err := client.Get(base + "/files/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusUnprocessableEntity { // what follows is no gzip
		t.Errorf("%s, %v", res.Status, res.Header)
	}
}
