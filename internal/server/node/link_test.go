package node_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"overland/internal/digest"
	"overland/internal/fetch"
	"overland/internal/server/node"
	"overland/internal/store"
	"overland/internal/store/mem"
	"overland/internal/testkit/badlink"
)

// Blobs over a link that is reset every 20 kB cost little more than their bytes: a TLS record that a
// reset cuts is lost, so a client that resumes gets short ones. Of small ones the headers are most of it.
func TestBlobsOverALinkThatIsReset(t *testing.T) {
	t.Run("4 of 200 kB", func(t *testing.T) { overALinkThatIsReset(t, 200_000, 4, 1.22) })
	t.Run("400 of 2 kB", func(t *testing.T) { overALinkThatIsReset(t, 2_000, 400, 1.3) })
}

// overALinkThatIsReset fetches n blobs of size bytes, which may cost most times as many.
func overALinkThatIsReset(t *testing.T, size, n int, most float64) {
	synctest.Test(t, func(t *testing.T) {
		const every = 20_000
		all := random(size * n)
		held := &mem.Store{} // of many small blobs a disk would take most of the time
		var blobs []fetch.Blob
		for i := range n {
			body := all[i*size:][:size]
			blobs = append(blobs, fetch.Blob{Digest: digest.Of(body), Size: int64(size)})
			if _, err := store.PutBytes(t.Context(), held, body); err != nil {
				t.Fatal(err)
			}
		}
		server, client := badlink.NewMemory(), badlink.NewMemory()
		origin := badlink.NewOrigin(server)
		defer origin.Close()
		origin.Serve(node.New(node.Options{Blobs: held}))
		link := badlink.Serve(client, server.Dial, badlink.Faults{CutEvery: every, Reset: true})
		defer link.Close()
		site, err := fetch.Site(origin.URL(link.Addr()), fetch.SiteOptions{
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return client.Dial(ctx) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer site.CloseIdleConnections()
		if err := fetch.New(&mem.Store{}, fetch.Options{Sources: []fetch.Source{site}}).All(t.Context(), blobs); err != nil {
			t.Fatal(err)
		}
		counts := link.Counts()
		if cost := float64(counts.Down) / float64(len(all)); cost > most || counts.Cuts < len(all)/every {
			t.Errorf("%.3f times their bytes, want at most %.2f; %+v", cost, most, counts)
		}
	})
}
