package node_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"overland/internal/digest"
	"overland/internal/fetch"
	"overland/internal/server/node"
	"overland/internal/store/dir"
	"overland/internal/testkit/badlink"
)

// Blobs over a link that is reset every 20 kB cost little more than their bytes: a TLS record that a
// reset cuts is lost, so a client that resumes gets short ones.
func TestBlobsOverALinkThatIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, n, every, most = 200_000, 4, 20_000, 1.22
		all := random(size * n)
		var bodies [][]byte
		var blobs []fetch.Blob
		for i := range n {
			body := all[i*size:][:size]
			bodies, blobs = append(bodies, body), append(blobs, fetch.Blob{Digest: digest.Of(body), Size: size})
		}
		server, client := badlink.NewMemory(), badlink.NewMemory()
		origin := badlink.NewOrigin(server)
		defer origin.Close()
		origin.Serve(newHandler(t, node.Options{}, bodies...))
		link := badlink.Serve(client, server.Dial, badlink.Faults{CutEvery: every, Reset: true})
		defer link.Close()
		site, err := fetch.Site(origin.URL(link.Addr()), fetch.SiteOptions{
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) { return client.Dial(ctx) },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer site.CloseIdleConnections()
		s, err := dir.Open(t.TempDir(), dir.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := fetch.New(s, fetch.Options{Sources: []fetch.Source{site}}).All(t.Context(), blobs); err != nil {
			t.Fatal(err)
		}
		counts := link.Counts()
		if cost := float64(counts.Down) / float64(len(all)); cost > most || counts.Cuts < len(all)/every {
			t.Errorf("%.3f times their bytes, want at most %.2f; %+v", cost, most, counts)
		}
	})
}
