package registry_test

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/digest"
	domain "overland/internal/registry"
	"overland/internal/server/registry"
)

// The manifests about one subject come in answers of some MiB, however large their annotations are.
func TestReferrersWithHugeAnnotations(t *testing.T) {
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	b.push(t, ann, "public/a", "{}")
	layer := b.push(t, ann, "public/a", "x")
	subject := string(digest.Of([]byte("not pushed")))
	const many = 3
	want := map[string]bool{}
	for i := range many {
		more := fmt.Sprintf(`"subject":{"mediaType":"x","digest":%q,"size":1},"annotations":{"n":"%d","a":%q},`, subject, i, strings.Repeat("a", 5<<19))
		m := manifest(layer, more)
		want[string(digest.Of([]byte(m)))] = true
		if got := b.do(t, "PUT", fmt.Sprintf("/v2/public/a/manifests/t%d", i), ann, m, "Content-Type", manifestType); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	link := regexp.MustCompile(`^<(.*)>; rel="next"$`)
	for path, pages := "/v2/public/a/referrers/"+subject, 1; path != ""; pages++ {
		got := b.do(t, "GET", path, "", "")
		var index ocispec.Index
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || len(index.Manifests) != 1 || pages > many {
			t.Fatalf("answer %d: %d bytes, %d manifests, %v", pages, len(got.body), len(index.Manifests), err)
		}
		delete(want, string(index.Manifests[0].Digest))
		if path = got.header.Get("Link"); path != "" {
			path = link.FindStringSubmatch(path)[1]
		}
	}
	if len(want) > 0 {
		t.Errorf("%d are in no answer", len(want))
	}
	for last, status := range map[string]int{"x": 400, subject: 404} {
		if got := b.do(t, "GET", "/v2/public/a/referrers/"+subject+"?last="+last, "", ""); got.status != status {
			t.Errorf("last=%s: %d", last, got.status)
		}
	}
}

// Whoever may push somewhere does not learn which blobs others have, nor the other name of one of them.
func TestAPushTellsNothingOfOthers(t *testing.T) {
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "own/**"})
	eve := "eve:" + b.account(t, "eve", auth.Grant{Action: auth.Push, Pattern: "eve/**"})
	secret := fmt.Sprintf("sha512:%x", sha512.Sum512([]byte("secret")))
	if got := b.do(t, "POST", "/v2/own/a/blobs/uploads/?digest="+secret, ann, "secret"); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	b.push(t, eve, "eve/a", "{}")
	told := func(layer string) string {
		got := b.do(t, "PUT", "/v2/eve/a/manifests/v1", eve, manifest(layer, ""), "Content-Type", manifestType)
		return fmt.Sprint(got.status, " ", strings.ReplaceAll(got.body, layer, "DIGEST"))
	}
	if there, nowhere := told(secret), told(fmt.Sprintf("sha512:%x", sha512.Sum512(nil))); there != nowhere {
		t.Errorf("for a blob that others have: %s\nfor another one: %s", there, nowhere)
	}
}

// A manifest that says that it is about its own layer needs that layer all the same.
func TestALayerThatIsTheSubject(t *testing.T) {
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	b.push(t, ann, "a", "{}")
	layer := string(digest.Of([]byte("never pushed")))
	m := manifest(layer, fmt.Sprintf(`"subject":{"mediaType":"x","digest":%q,"size":1},`, layer))
	if got := b.do(t, "PUT", "/v2/a/manifests/v1", ann, m, "Content-Type", manifestType); got.status != http.StatusNotFound {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Odd numbers and names in requests are refused, none of them is an error of the registry's own.
func TestOddRequests(t *testing.T) {
	b := newBench(t, domain.Options{Delete: true})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"}, auth.Grant{Action: auth.Delete, Pattern: "**"})
	d := b.push(t, ann, "public/a", "{}")
	upload := b.do(t, "POST", "/v2/public/a/blobs/uploads/", ann, "").header.Get("Location")
	for _, c := range []struct {
		method, path, login string
		want                int
		headers             []string
	}{
		{"PATCH", upload, ann, 400, []string{"Content-Range", "0-92233720368547758070"}},
		{"PATCH", upload, ann, 400, []string{"Content-Range", "-1-5"}},
		{"GET", "/v2/public/a/tags/list?n=-1", "", 400, nil},
		{"GET", "/v2/public/a/tags/list?n=99999999999999999999", "", 400, nil},
		{"GET", "/v2/public/a/tags/list?n=0", "", 200, nil},
		{"GET", "/v2/_catalog?n=-1", "", 400, nil},
		{"PUT", "/v2/public/a/manifests/..%2f..%2fv1", ann, 400, nil},
		{"PUT", "/v2/public/a/manifests/%2e%2e", ann, 400, nil},
		{"GET", "/v2/public/..%2fown/blobs/" + d, ann, 400, nil},
		{"GET", "/v2/public/a/blobs/sha512:" + strings.TrimPrefix(d, "sha256:"), ann, 400, nil},
		{"GET", "/v2/public/a/blobs/uploads/..%2f..%2fsite.db", ann, 404, nil},
		{"GET", "/v2/public/a/blobs/uploads/../../site.db", ann, 404, nil},
		{"DELETE", "/v2/public/a/blobs/uploads/x.part", ann, 404, nil},
	} {
		if got := b.do(t, c.method, c.path, c.login, "", c.headers...); got.status != c.want {
			t.Errorf("%s %s %v: %d, want %d: %s", c.method, c.path, c.headers, got.status, c.want, got.body)
		}
	}
	// A body of unknown length whose range is as long as a number can be, and one byte longer.
	for text, want := range map[string]int{"0-9223372036854775806": 400, "0-9223372036854775807": 400, "9223372036854775805-9223372036854775806": 416} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, b.url+upload, struct{ io.Reader }{strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("ann", strings.TrimPrefix(ann, "ann:"))
		r.Header.Set("Content-Range", text)
		resp, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", text, resp.StatusCode, want)
		}
	}
}

func TestParseRange(t *testing.T) {
	for text, want := range map[string]bool{
		"0-0": true, "5-9": true, "bytes 5-9/10": true, "0-9223372036854775806": true,
		"": false, "5": false, "-5": false, "5-": false, "x-5": false, "5-x": false, "-1-5": false, "5-4": false, "0-9223372036854775807": false,
	} {
		first, last, err := registry.ParseRange(text)
		if (err == nil) != want || first < 0 || last < first {
			t.Errorf("%q: %d-%d, %v", text, first, last, err)
		}
	}
}

// What a fixed tag stands for stays whole: neither its manifest is taken away, nor what that points to.
func TestAFixedTagStaysWhole(t *testing.T) {
	b := newBench(t, domain.Options{Delete: true, Fixed: []string{"live/*"}})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"}, auth.Grant{Action: auth.Delete, Pattern: "**"})
	b.push(t, ann, "live/a", "{}")
	layer := b.push(t, ann, "live/a", "x")
	m := manifest(layer, "")
	d := string(digest.Of([]byte(m)))
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, manifestType, d, len(m))
	for ref, text := range map[string]string{d: m, "v1": index} {
		defer func() {
			if got := b.do(t, "GET", "/v2/live/a/manifests/"+ref, ann, ""); got.status != http.StatusOK || got.body != text {
				t.Errorf("%s: %d %.200s", ref, got.status, got.body)
			}
		}()
	}
	for _, one := range [][2]string{{d, m}, {"v1", index}} {
		if got := b.do(t, "PUT", "/v2/live/a/manifests/"+one[0], ann, one[1]); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	for _, path := range []string{"manifests/v1", "manifests/" + string(digest.Of([]byte(index))), "manifests/" + d, "blobs/" + d, "blobs/" + layer} {
		if got := b.do(t, "DELETE", "/v2/live/a/"+path, ann, ""); got.status < http.StatusBadRequest || got.status == http.StatusInternalServerError {
			t.Errorf("DELETE %s: %d %s", path, got.status, got.body)
		}
	}
	// Where tags may move, it is its owner's to take.
	b.push(t, ann, "a", "{}")
	b.push(t, ann, "a", "x")
	if got := b.do(t, "PUT", "/v2/a/manifests/v1", ann, m); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := b.do(t, "DELETE", "/v2/a/manifests/"+d, ann, ""); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}
