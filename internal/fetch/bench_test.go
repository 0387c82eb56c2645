package fetch

import (
	"testing"

	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/badlink"
)

// Compare with sha256sum over the same bytes: a local source is hashed once, a
// remote one twice (blob and chunks).
func BenchmarkFetch(b *testing.B) {
	const size = 64 * mib
	body := random(51, size)
	blob := plainBlob(body)
	from, err := storedir.Open(b.TempDir(), storedir.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := store.PutBytes(b.Context(), from, body); err != nil {
		b.Fatal(err)
	}
	dir, err := Dir(from.Dir())
	if err != nil {
		b.Fatal(err)
	}
	origin := badlink.NewOrigin(nil, body)
	defer origin.Close()
	site, err := Site(origin.URL(origin.Addr()), SiteOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer site.CloseIdleConnections()
	for name, src := range map[string]Source{"dir": dir, "site": site} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			s, err := storedir.Open(b.TempDir(), storedir.Options{})
			if err != nil {
				b.Fatal(err)
			}
			f := New(s, Options{Sources: []Source{src}})
			for b.Loop() {
				if err := f.Fetch(b.Context(), blob); err != nil {
					b.Fatal(err)
				}
				if err := s.Remove(b.Context(), blob.Digest); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
