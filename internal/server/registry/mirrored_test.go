package registry_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"overland/internal/auth"
	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/digest"
	"overland/internal/ecosystem/oci"
	"overland/internal/origin"
	domain "overland/internal/registry"
	"overland/internal/server/registry"
	storedir "overland/internal/store/dir"
)

// hub is a registry over HTTPS that wants passes, with the image public/app:v1 in it, behind a gate.
type hub struct {
	*httptest.Server
	manifest, layer string        // of the image
	blob            string        // digest of the layer
	requests        atomic.Int64  // for the layer
	half            chan struct{} // a request for the layer gets its first half, and the rest when this is closed; nil = at once
	dead            atomic.Bool   // nothing is answered
}

func newHub(t *testing.T) *hub {
	t.Helper()
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	h := &hub{layer: strings.Repeat("layer ", 1<<17)}
	b.push(t, ann, "public/app", "{}")
	h.blob = b.push(t, ann, "public/app", h.layer)
	h.manifest = manifest(h.blob, "")
	if got := b.do(t, "PUT", "/v2/public/app/manifests/v1", ann, h.manifest, "Content-Type", manifestType); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	behind, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: b.client.Transport, FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host
	}}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.dead.Load() {
			panic(http.ErrAbortHandler)
		}
		if strings.HasSuffix(r.URL.Path, h.blob) {
			h.requests.Add(1)
			if h.half != nil {
				w.Header().Set("Content-Length", fmt.Sprint(len(h.layer)))
				_, _ = io.WriteString(w, h.layer[:len(h.layer)/2])
				w.(http.Flusher).Flush()
				<-h.half
				_, _ = io.WriteString(w, h.layer[len(h.layer)/2:])
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	return h
}

// mirror returns a registry that mirrors h for everybody as hub.example, and for accounts as closed.example.
func (h *hub) mirror(t *testing.T, o domain.Options) *bench {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	return newBench(t, o, func(dir string, blobs *storedir.Store, o *registry.Options) {
		up := &origin.Client{Dir: dir, Roots: map[string]*x509.CertPool{strings.TrimPrefix(h.URL, "https://"): roots}, Tries: 1}
		p, err := oci.New(up, oci.Registry{Name: "hub.example", URL: h.URL}, oci.Registry{Name: "closed.example:5000", URL: h.URL})
		if err != nil {
			t.Fatal(err)
		}
		c, err := cache.Open(t.Context(), filepath.Join(dir, "cache"), blobs, cache.Options{Upstream: up, Facts: &cachetest.Memory{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		o.Anyone = append(o.Anyone, auth.Grant{Action: auth.Pull, Pattern: "hub.example/**"})
		o.Mirrored = &registry.Mirrored{Getter: c, Protocol: p, Unnamed: "hub.example", Names: []string{"site.example"}}
	})
}

// An image of another registry is pulled through this one: by that one's name, by the query of containerd, or under its
// name alone as docker does. Nobody else's image is, whatever a client says, and ours is not taken for another's.
func TestMirrored(t *testing.T) {
	h := newHub(t)
	b := h.mirror(t, domain.Options{Fixed: []string{"live/*"}})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	b.push(t, ann, "public/own", "{}")
	ours := manifest(b.push(t, ann, "public/own", "ours"), "")
	b.do(t, "PUT", "/v2/public/own/manifests/v1", ann, ours, "Content-Type", manifestType)
	at := string(digest.Of([]byte(h.manifest)))
	for _, c := range []struct {
		path, login string
		want        int
		body        string
	}{
		{"hub.example/public/app/manifests/v1", "", 200, h.manifest},
		{"hub.example/public/app/manifests/" + at, "", 200, h.manifest},
		{"hub.example/public/app/blobs/" + h.blob, "", 200, h.layer},
		{"hub.example/public/app/manifests/v2", "", 404, ""},
		{"hub.example/public/app/blobs/" + at, "", 404, ""}, // a manifest is not a blob
		{"hub.example/other/app/manifests/v1", "", 403, ""}, // it refuses us
		{"other.example/public/app/manifests/v1", ann, 404, ""},
		{"other/app/manifests/v1", ann, 403, ""}, // as docker asks: the same
		{"public/app/manifests/v1?ns=hub.example", ann, 200, h.manifest},
		{"public/app/manifests/v1?ns=closed.example:5000", ann, 200, h.manifest},
		{"public/app/manifests/v1?ns=closed.example:5000", "", 401, ""},
		{"public/app/manifests/v1?ns=other.example", ann, 404, ""},
		{"public/app/manifests/v1?ns=127.0.0.1:1", ann, 404, ""},
		{"public/own/manifests/v1?ns=other.example", ann, 404, ""}, // theirs may be called so too
		{"public/own/manifests/v1?ns=hub.example", ann, 404, ""},
		{"public/own/manifests/v1?ns=site.example:8443", ann, 200, ours},
		{"public/own/manifests/v1", ann, 200, ours},
		{"public/app/manifests/v1", ann, 404, ""}, // it begins like ours
		{"live/app/manifests/v1", ann, 404, ""},   // so could this
		{"hub.example/public/app/tags/list", ann, 404, ""},
		{"hub.example/public/app/blobs/uploads/", ann, 404, ""},
		{"hub.example/../app/manifests/v1", ann, 400, ""},
	} {
		for _, method := range []string{"HEAD", "GET"} {
			got := b.do(t, method, "/v2/"+c.path, c.login, "")
			if got.status != c.want || method == "GET" && c.body != "" && got.body != c.body {
				t.Errorf("%s %s: %d, want %d: %.200s", method, c.path, got.status, c.want, got.body)
			}
			if c.want != http.StatusOK {
				continue
			}
			if d := got.header.Get("Docker-Content-Digest"); d != string(digest.Of([]byte(c.body))) || got.header.Get("Content-Length") != fmt.Sprint(len(c.body)) {
				t.Errorf("%s %s: %v", method, c.path, got.header)
			}
			if strings.Contains(c.path, "manifests") && got.header.Get("Content-Type") != manifestType {
				t.Errorf("%s %s is sent as %s", method, c.path, got.header.Get("Content-Type"))
			}
		}
	}
	if got := b.do(t, "GET", "/v2/hub.example/public/app/blobs/"+h.blob, "", "", "Range", "bytes=6-10"); got.status != http.StatusPartialContent || got.body != "layer" {
		t.Errorf("a part: %d %.100q", got.status, got.body)
	}
	if n := h.requests.Load(); n != 1 {
		t.Errorf("the layer was fetched %d times", n)
	}
	for method, path := range map[string]string{"POST": "blobs/uploads/", "PUT": "manifests/v1", "DELETE": "manifests/v1"} {
		if got := b.do(t, method, "/v2/hub.example/public/app/"+path, ann, h.manifest, "Content-Type", manifestType); got.status != http.StatusForbidden || !strings.Contains(got.body, "mirrored here") {
			t.Errorf("%s under its name: %d %s", method, got.status, got.body)
		}
	}
	h.dead.Store(true)
	for path, want := range map[string]int{"manifests/v1": 200, "manifests/" + at: 200, "blobs/" + h.blob: 200, "manifests/v3": 503} {
		if got := b.do(t, "GET", "/v2/hub.example/public/app/"+path, "", ""); got.status != want {
			t.Errorf("%s of a registry that is down: %d, want %d: %.200s", path, got.status, want, got.body)
		}
	}
}

// Under its name alone an image is another registry's where nothing of ours is called like that.
func TestMirroredUnnamed(t *testing.T) {
	h := newHub(t)
	b := h.mirror(t, domain.Options{})
	if got := b.do(t, "GET", "/v2/public/app/manifests/v1", "", ""); got.status != http.StatusOK || got.body != h.manifest {
		t.Errorf("%d %.200s", got.status, got.body)
	}
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	b.push(t, ann, "public/app", "{}") // begins an image of ours
	if got := b.do(t, "GET", "/v2/public/app/manifests/v1", "", ""); got.status != http.StatusNotFound {
		t.Errorf("%d %.200s", got.status, got.body)
	}
}

// A client that goes away in the middle of a blob holds up nobody: the next one gets what has come, and the rest.
func TestAPullThatIsCutOff(t *testing.T) {
	h := newHub(t)
	h.half = make(chan struct{})
	b := h.mirror(t, domain.Options{})
	get := func(ctx context.Context) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/v2/hub.example/public/app/blobs/"+h.blob, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	ctx, cancel := context.WithCancel(t.Context())
	first := get(ctx)
	if _, err := io.CopyN(io.Discard, first.Body, int64(len(h.layer)/4)); err != nil {
		t.Fatal(err)
	}
	cancel()
	first.Body.Close()
	second := get(t.Context())
	defer second.Body.Close()
	begun := make([]byte, len(h.layer)/4)
	if _, err := io.ReadFull(second.Body, begun); err != nil {
		t.Fatal(err)
	}
	close(h.half)
	rest, err := io.ReadAll(second.Body)
	if err != nil || string(begun)+string(rest) != h.layer {
		t.Errorf("%d bytes, %v", len(begun)+len(rest), err)
	}
	if n := h.requests.Load(); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
}

// What HEAD tells of can be had: it is answered when the bytes are here.
func TestHeadOfAMirroredBlob(t *testing.T) {
	h := newHub(t)
	h.half = make(chan struct{})
	b := h.mirror(t, domain.Options{})
	told := make(chan answer, 1)
	go func() { told <- b.do(t, "HEAD", "/v2/hub.example/public/app/blobs/"+h.blob, "", "") }()
	for h.requests.Load() == 0 {
		select {
		case a := <-told:
			t.Fatalf("answered before anything came: %d", a.status)
		default:
		}
	}
	select {
	case a := <-told:
		t.Errorf("answered with half of it here: %d", a.status)
	default:
	}
	close(h.half)
	if a := <-told; a.status != http.StatusOK {
		t.Errorf("%d", a.status)
	}
	h.dead.Store(true)
	if a := b.do(t, "GET", "/v2/hub.example/public/app/blobs/"+h.blob, "", ""); a.status != http.StatusOK || a.body != h.layer {
		t.Errorf("GET after HEAD: %d", a.status)
	}
}

// Nothing of ours is under the name of another registry, also when a client says that it means this one.
func TestAMirrorsNameIsNotOurs(t *testing.T) {
	h := newHub(t)
	b := h.mirror(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	for _, ns := range []string{"", "?ns=site.example", "?ns=site.example:8443"} {
		if got := b.do(t, "PUT", "/v2/hub.example/public/app/manifests/v1"+ns, ann, manifest(h.blob, ""), "Content-Type", manifestType); got.status != http.StatusForbidden {
			t.Errorf("pushed with %q: %d %s", ns, got.status, got.body)
		}
		if got := b.do(t, "GET", "/v2/hub.example/public/app/manifests/v1"+ns, "", ""); got.status != http.StatusOK || got.body != h.manifest {
			t.Errorf("pulled with %q: %d %s", ns, got.status, got.body)
		}
	}
}
