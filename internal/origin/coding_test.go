package origin_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/origin"
)

// What an origin sends is never decoded to more than the limit, and decodes to what was encoded.
func FuzzDecoded(f *testing.F) {
	f.Add([]byte("x\x9c\x03\x00\x00\x00\x00\x01"), "deflate")
	f.Add([]byte("\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00\x99\xe9\xd8\x51"), "zstd")
	f.Add([]byte("\x1f\x8b\x08\x00"), "gzip, identity, gzip")
	f.Fuzz(func(t *testing.T, b []byte, coding string) {
		const limit = 1 << 16
		decode := func(b []byte, coding string) (*origin.Answer, error) {
			file, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { file.Close() })
			if _, err := file.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			return (&origin.Answer{Body: file, Header: http.Header{"Content-Encoding": {coding}}}).Decoded(limit)
		}
		if a, err := decode(b, coding); err == nil {
			if a.Size > limit || len(a.Codings()) != 0 {
				t.Errorf("%d bytes, %v", a.Size, a.Codings())
			}
			a.Close()
		} else if errs.KindOf(err) != errs.Untrusted {
			t.Error(err)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(b)
		_ = z.Close()
		a, err := decode(packed.Bytes(), "x-gzip")
		if len(b) > limit {
			return
		}
		if err != nil || a.Digest != digest.Of(b) {
			t.Fatalf("%+v, %v", a, err)
		}
		a.Close()
	})
}
