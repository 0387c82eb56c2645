package client_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/image"
	"overland/internal/registry/client"
	"overland/internal/store/mem"
)

// overwritten is a registry without lists of referrers, in which another writer puts an empty one in the place of the list in
// the tag, as often as times says.
type overwritten struct {
	http.Handler
	times, seen int
}

func (o *overwritten) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.Handler.ServeHTTP(w, r)
	if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/sha256-") {
		return
	}
	if o.seen++; o.seen <= o.times {
		other := httptest.NewRequestWithContext(r.Context(), http.MethodPut, r.URL.Path, strings.NewReader(
			`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
		other.Header.Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		o.Handler.ServeHTTP(httptest.NewRecorder(), other)
	}
}

// Documents about an image are listed by a registry that keeps such lists and by one that does not, also when another
// writer has taken them out.
func TestReferrersAreListed(t *testing.T) {
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	for what, handler := range map[string]http.Handler{
		"with the API": registry.New(quiet, registry.WithReferrersSupport(true)),
		"with the tag": registry.New(quiet),
		"overwritten":  &overwritten{Handler: registry.New(quiet), times: 3},
	} {
		t.Run(what, func(t *testing.T) {
			srv := httptest.NewServer(handler)
			defer srv.Close()
			var s mem.Store
			l, err := image.PutLayer(t.Context(), &s, time.Unix(0, 0), func(l *image.Layer) error {
				return l.Add(image.Entry{Name: "motd", Size: 3}, strings.NewReader("tea"))
			})
			if err != nil {
				t.Fatal(err)
			}
			w, err := image.Put(t.Context(), &s, image.Image{Platform: "linux/amd64", Layers: []image.Step{{Made: l}}})
			if err != nil {
				t.Fatal(err)
			}
			var list []client.Referrer
			for _, text := range []string{"one", "two"} {
				desc, err := image.PutReferrer(t.Context(), &s, image.Referrer{Subject: w.Descriptor, Type: "application/spdx+json", Content: []byte(text)})
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, client.Referrer{Descriptor: desc, Subject: w.Digest})
			}
			to := strings.TrimPrefix(srv.URL, "http://") + "/wallet"
			if _, err := client.Push(t.Context(), &s, to, "r1", []ocispec.Descriptor{w.Descriptor}, client.Options{Referrers: list}); err != nil {
				t.Fatal(err)
			}
			at, err := name.NewDigest(to + "@" + string(w.Digest))
			if err != nil {
				t.Fatal(err)
			}
			index, err := remote.Referrers(at)
			if err != nil {
				t.Fatal(err)
			}
			m, err := index.IndexManifest()
			if err != nil || len(m.Manifests) != len(list) {
				t.Errorf("%d documents, %v", len(m.Manifests), err)
			}
		})
	}
}
