package netcache

import (
	"net/http"
	"testing"

	"overland/internal/digest"
)

func FuzzParsePart(f *testing.F) {
	const none = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
	f.Add("bytes 0-9/10", none)
	f.Add("bytes */10", none)
	f.Fuzz(func(t *testing.T, span, sum string) {
		p, err := parsePart(http.Header{"Content-Range": {span}, "Repr-Digest": {sum}})
		if err == nil && (p.Size <= 0 || p.From < -1 || p.From >= p.Size || len(p.Sum) != len(digest.Of(nil))) {
			t.Errorf("%q %q: %+v", span, sum, p)
		}
	})
}
