package registry_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/cache"
	"overland/internal/cache/cachetest"
	"overland/internal/digest"
	"overland/internal/ecosystem/oci"
	"overland/internal/errs"
	"overland/internal/origin"
	domain "overland/internal/registry"
	"overland/internal/server/registry"
	storedir "overland/internal/store/dir"
)

// hub is a registry over HTTPS that wants passes, with the image public/app:v1 in it, behind a gate.
type hub struct {
	*httptest.Server
	manifest, layer string                 // of the image
	blob            string                 // digest of the layer
	requests        atomic.Int64           // for the layer
	half            chan struct{}          // a request for the layer gets its first half, and the rest when this is closed; nil = at once
	dead            atomic.Bool            // nothing is answered
	old             atomic.Bool            // it does not know of referrers
	all             atomic.Bool            // it gives all tags, whatever it is asked for
	leads           atomic.Pointer[string] // where requests for the layer are led; nil = nowhere
	mu              sync.Mutex
	shown           map[string]bool // what was sent as Authorization, and where: "/v2/token Basic …"
	b               *bench
}

func newHub(t *testing.T) *hub {
	t.Helper()
	b := newBench(t, domain.Options{})
	ann := "ann:" + b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "**"})
	h := &hub{layer: strings.Repeat("layer ", 1<<17), shown: map[string]bool{}, b: b}
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
		h.mu.Lock()
		h.shown[r.URL.Path+" "+r.Header.Get("Authorization")] = true
		h.mu.Unlock()
		if h.old.Load() && strings.Contains(r.URL.Path, "/referrers/") {
			http.NotFound(w, r)
			return
		}
		if h.all.Load() && strings.HasSuffix(r.URL.Path, "/tags/list") {
			r.URL.RawQuery = ""
		}
		if to := h.leads.Load(); to != nil && strings.HasSuffix(r.URL.Path, h.blob) {
			http.Redirect(w, r, *to, http.StatusTemporaryRedirect)
			return
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
func (h *hub) mirror(t *testing.T, o domain.Options, logins ...func() (oci.Login, bool, error)) *bench {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(h.Certificate())
	return newBench(t, o, func(dir string, blobs *storedir.Store, o *registry.Options) {
		up := &origin.Client{Dir: dir, Roots: map[string]*x509.CertPool{strings.TrimPrefix(h.URL, "https://"): roots}, Tries: 1}
		list := []oci.Registry{{Name: "hub.example", URL: h.URL}, {Name: "closed.example:5000", URL: h.URL}}
		for _, l := range logins {
			list[0].Login = l
		}
		p, err := oci.New(up, list...)
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
		{"hub.example/public/none/tags/list", ann, 404, ""},
		{"hub.example/other/app/tags/list", ann, 403, ""},
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

// The tags of a mirrored repository come in pages, also of a registry that gives all of them each time; what is about an
// image too, also of one that knows no referrers; both when it is down.
func TestMirroredLists(t *testing.T) {
	h := newHub(t)
	h.all.Store(true)
	bob := "bob:" + h.b.account(t, "bob", auth.Grant{Action: auth.Push, Pattern: "**"})
	subject := string(digest.Of([]byte(h.manifest)))
	for tag, kind := range map[string]string{"sbom": "application/spdx+json", "sig": "signature"} {
		m := manifest(h.blob, fmt.Sprintf(`"artifactType":%q,"subject":{"mediaType":%q,"digest":%q,"size":%d},`, kind, manifestType, subject, len(h.manifest)))
		if got := h.b.do(t, "PUT", "/v2/public/app/manifests/"+tag, bob, m, "Content-Type", manifestType); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	b := h.mirror(t, domain.Options{})
	for _, c := range []struct{ query, want, link string }{
		{"", `["sbom","sig","v1"]`, ""},
		{"?n=2", `["sbom","sig"]`, "</v2/hub.example/public/app/tags/list?last=sig&n=2>; rel=\"next\""},
		{"?n=2&last=sig", `["v1"]`, ""},
		{"?n=0", `[]`, ""},
	} {
		got := b.do(t, "GET", "/v2/hub.example/public/app/tags/list"+c.query, "", "")
		if want := `{"name":"hub.example/public/app","tags":` + c.want + `}`; got.status != http.StatusOK || got.body != want || got.header.Get("Link") != c.link {
			t.Errorf("tags%s: %d %s, %s", c.query, got.status, got.body, got.header.Get("Link"))
		}
	}
	about := func(of, query string, want ...string) {
		t.Helper()
		got := b.do(t, "GET", "/v2/hub.example/public/app/referrers/"+of+query, "", "")
		var index ocispec.Index
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || got.status != http.StatusOK || got.header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
			t.Fatalf("%d %s, %v", got.status, got.body, err)
		}
		var kinds []string
		for _, d := range index.Manifests {
			kinds = append(kinds, d.ArtifactType)
		}
		if slices.Sort(kinds); !slices.Equal(kinds, want) || (got.header.Get("Oci-Filters-Applied") != "") != (query != "") {
			t.Errorf("about %.20s%s: %v, %v", of, query, kinds, got.header)
		}
	}
	about(subject, "", "application/spdx+json", "signature")
	about(subject, "?artifactType=signature", "signature")
	about(h.blob, "")
	h.old.Store(true)
	other := string(digest.Of([]byte("an image")))
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"artifactType":"x"}]}`, manifestType, subject, len(h.manifest))
	if got := h.b.do(t, "PUT", "/v2/public/app/manifests/"+strings.Replace(other, ":", "-", 1), bob, index, "Content-Type", ocispec.MediaTypeImageIndex); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	about(other, "", "x")
	about(string(digest.Of([]byte("another"))), "")
	h.dead.Store(true)
	about(subject, "", "application/spdx+json", "signature")
	about(other, "", "x")
	if got := b.do(t, "GET", "/v2/hub.example/public/app/tags/list", "", ""); got.status != http.StatusOK {
		t.Errorf("tags of a registry that is down: %d", got.status)
	}
	if got := b.do(t, "GET", "/v2/hub.example/public/other/tags/list", "", ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("tags that are not here: %d", got.status)
	}
}

// A login goes to where the registry that it is for gives passes, and to nobody else, whoever is led where; one that does
// not hold is told of, and not shown.
func TestALoginForAMirroredRegistry(t *testing.T) {
	h := newHub(t)
	token := h.b.account(t, "site", auth.Grant{Action: auth.Pull, Pattern: "closed/**"})
	bob := "bob:" + h.b.account(t, "bob", auth.Grant{Action: auth.Push, Pattern: "**"})
	h.b.push(t, bob, "closed/app", "{}")
	h.b.push(t, bob, "closed/app", h.layer)
	h.b.do(t, "PUT", "/v2/closed/app/manifests/v1", bob, h.manifest, "Content-Type", manifestType)
	var elsewhere sync.Map
	cdn := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Store(r.URL.Path, r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, h.layer)
	}))
	defer cdn.Close()
	var password atomic.Pointer[string]
	wrong := "wrong-password"
	password.Store(&wrong)
	b := h.mirror(t, domain.Options{}, func() (oci.Login, bool, error) { return oci.Login{Name: "site", Password: *password.Load()}, true, nil })
	path := "/v2/hub.example/closed/app/"
	if got := b.do(t, "GET", path+"manifests/v1", "", ""); got.status < 400 || strings.Contains(got.body, wrong) || strings.Contains(fmt.Sprint(got.header), wrong) {
		t.Errorf("with a wrong login: %d %s", got.status, got.body)
	}
	password.Store(&token)
	if got := b.do(t, "GET", path+"manifests/v1", "", ""); got.status != http.StatusOK || got.body != h.manifest {
		t.Fatalf("with the login as it is now: %d %s", got.status, got.body)
	}
	to := cdn.URL + "/layer"
	h.leads.Store(&to)
	b.do(t, "GET", path+"blobs/"+h.blob, "", "") // it may refuse the certificate there
	elsewhere.Range(func(k, v any) bool {
		if v != "" {
			t.Errorf("%s elsewhere was sent %s", k, v)
		}
		return true
	})
	h.leads.Store(nil)
	if got := b.do(t, "GET", path+"blobs/"+h.blob, "", ""); got.status != http.StatusOK || got.body != h.layer {
		t.Errorf("the layer: %d", got.status)
	}
	all := "all:" + b.account(t, "all", auth.Grant{Action: auth.Pull, Pattern: "**"})
	if got := b.do(t, "GET", "/v2/closed/app/manifests/v1?ns=closed.example:5000", all, ""); got.status == http.StatusOK {
		t.Error("the login of a registry is used for another one at the same address")
	}
	basic := 0
	for shown := range h.shown {
		if at, login, _ := strings.Cut(shown, " "); strings.HasPrefix(login, "Basic") {
			if basic++; at != "/v2/token" {
				t.Errorf("the login was sent to %s", at)
			}
		}
	}
	if basic != 2 {
		t.Errorf("%d logins were sent, not the wrong and the right one", basic)
	}
	up := &origin.Client{}
	if _, err := oci.New(up, oci.Registry{Name: "hub.example", URL: "http://hub.example", Login: func() (oci.Login, bool, error) { return oci.Login{}, false, nil }}); errs.KindOf(err) != errs.Invalid {
		t.Errorf("a login without TLS: %v", err)
	}
}
