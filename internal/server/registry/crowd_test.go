package registry_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/digest"
	domain "overland/internal/registry"
)

// 500 manifests about one image, of two kinds, with annotations of 10 MiB: each comes once, in pages of some MiB, of the
// kind that is asked for, with its size and what it says of itself.
func TestFiveHundredReferrers(t *testing.T) {
	inMemory(t)
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	b.push(t, ann, "public/a", "{}")
	layer := b.push(t, ann, "public/a", "x")
	subject := string(digest.Of([]byte("pushed later")))
	const many = 500
	kinds, pad := []string{"sbom", "signature"}, strings.Repeat("a", 20<<10)
	want := map[string]ocispec.Descriptor{}
	var wg sync.WaitGroup
	const senders = 2
	queue := make(chan string)
	for range senders {
		wg.Go(func() {
			for m := range queue {
				at := "/v2/public/a/manifests/" + string(digest.Of([]byte(m)))
				if got := b.do(t, "PUT", at, ann, m, "Content-Type", manifestType); got.status != http.StatusCreated || got.header.Get("Oci-Subject") != subject {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
		})
	}
	for i := range many {
		d := ocispec.Descriptor{MediaType: manifestType, ArtifactType: kinds[i%2], Annotations: map[string]string{"n": fmt.Sprint(i), "a": pad}}
		said, err := json.Marshal(d.Annotations)
		if err != nil {
			t.Fatal(err)
		}
		m := manifest(layer, fmt.Sprintf(`"artifactType":%q,"subject":{"mediaType":"x","digest":%q,"size":1},"annotations":%s,`, d.ArtifactType, subject, said))
		d.Digest, d.Size = digest.Of([]byte(m)), int64(len(m))
		want[string(d.Digest)] = d
		queue <- m
	}
	close(queue)
	wg.Wait()
	for kind, number := range map[string]int{"": many, "sbom": many / 2, "other": 0} {
		seen, pages := map[string]bool{}, 0
		for path := "/v2/public/a/referrers/" + subject + "?artifactType=" + url.QueryEscape(kind); path != ""; pages++ {
			got := b.do(t, "GET", path, "", "")
			var index ocispec.Index
			if err := json.Unmarshal([]byte(got.body), &index); err != nil || len(got.body) > 5<<20 || (got.header.Get("Oci-Filters-Applied") != "") != (kind != "") {
				t.Fatalf("page %d: %d bytes, %v, %v", pages, len(got.body), got.header, err)
			}
			for _, d := range index.Manifests {
				w := want[string(d.Digest)]
				if seen[string(d.Digest)] || w.Size != d.Size || w.ArtifactType != d.ArtifactType || w.Annotations["n"] != d.Annotations["n"] || kind != "" && d.ArtifactType != kind {
					t.Errorf("%s: %d bytes, %s, it came before: %v", d.Digest, d.Size, d.ArtifactType, seen[string(d.Digest)])
				}
				seen[string(d.Digest)] = true
			}
			if path, _, _ = strings.Cut(strings.TrimPrefix(got.header.Get("Link"), "<"), ">"); path != "" && pages > many {
				t.Fatal("it does not end")
			}
		}
		if len(seen) != number || number == many && (pages < 3 || pages > 4) {
			t.Errorf("of the kind %q: %d in %d pages", kind, len(seen), pages)
		}
	}
}

// Of pushes of one tag at the same time one is what it stands for, whole; where tags are fixed the others are refused.
func TestPushesOfOneTag(t *testing.T) {
	b := newBench(t, domain.Options{Fixed: []string{"live/*"}})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	for _, repository := range []string{"public/app", "live/app"} {
		const many = 6
		var mu sync.Mutex
		taken := map[string]bool{} // by what was said to have been taken
		var wg sync.WaitGroup
		for i := range many {
			wg.Go(func() {
				b.push(t, ann, repository, "{}")
				m := manifest(b.push(t, ann, repository, fmt.Sprint("layer ", i)), "")
				got := b.do(t, "PUT", "/v2/"+repository+"/manifests/v1", ann, m, "Content-Type", manifestType)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case got.status == http.StatusCreated:
					taken[m] = true
				case got.status != http.StatusForbidden || !strings.HasPrefix(repository, "live"):
					t.Errorf("%s: %d %s", repository, got.status, got.body)
				}
			})
		}
		wg.Wait()
		if n := len(taken); strings.HasPrefix(repository, "live") && n != 1 || n == 0 {
			t.Errorf("%s: %d were taken", repository, n)
		}
		got := b.do(t, "GET", "/v2/"+repository+"/manifests/v1", ann, "")
		if got.status != http.StatusOK || !taken[got.body] || got.header.Get("Docker-Content-Digest") != string(digest.Of([]byte(got.body))) {
			t.Errorf("%s: %d %s", repository, got.status, got.body)
		}
		var m ocispec.Manifest
		if err := json.Unmarshal([]byte(got.body), &m); err != nil {
			t.Fatal(err)
		}
		if got := b.do(t, "GET", "/v2/"+repository+"/blobs/"+string(m.Layers[0].Digest), ann, ""); got.status != http.StatusOK {
			t.Errorf("its layer: %d", got.status)
		}
	}
}
