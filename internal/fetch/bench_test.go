package fetch_test

import (
	"testing"

	"overland/internal/fetch"
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
	dir, err := fetch.Dir(from.Dir())
	if err != nil {
		b.Fatal(err)
	}
	origin := badlink.NewOrigin(nil, body)
	defer origin.Close()
	site, err := fetch.Site(origin.URL(origin.Addr()), fetch.SiteOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer site.CloseIdleConnections()
	for name, src := range map[string]fetch.Source{"dir": dir, "site": site} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			s, err := storedir.Open(b.TempDir(), storedir.Options{})
			if err != nil {
				b.Fatal(err)
			}
			f := fetch.New(s, fetch.Options{Sources: []fetch.Source{src}})
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
