package site

import (
	"crypto/sha512"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/digest"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
)

// image writes an image for two platforms into the depot dir, an OCI layout, under the tag v1, and returns its digest.
func image(t *testing.T, dir, text string) digest.Digest {
	t.Helper()
	s, err := storedir.Open(dir, storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := func(mediaType string, v any) ocispec.Descriptor {
		t.Helper()
		b, ok := v.([]byte)
		if !ok {
			if b, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		d, err := store.PutBytes(t.Context(), s, b)
		if err != nil {
			t.Fatal(err)
		}
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	shared := put(ocispec.MediaTypeImageLayer, random(1<<20))
	for _, arch := range []string{"amd64", "arm64"} {
		p := ocispec.Platform{OS: "linux", Architecture: arch}
		layer := put(ocispec.MediaTypeImageLayer, []byte(text+arch))
		m := put(ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{shared, layer},
			Config: put(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: p, RootFS: ocispec.RootFS{
				Type: "layers", DiffIDs: []digest.Digest{shared.Digest, layer.Digest},
			}}),
		})
		m.Platform = &p
		index.Manifests = append(index.Manifests, m)
	}
	top := put(ocispec.MediaTypeImageIndex, index)
	if err := s.Tag(t.Context(), "v1", top); err != nil {
		t.Fatal(err)
	}
	return top.Digest
}

// An unmodified client pushes to a site with its token, moves an image from one repository to another without a second
// copy, and is refused what it may not; others pull without a login, over HTTPS and over the cache's plain HTTP.
func TestAClientPushesAndPulls(t *testing.T) {
	dir := newSite(t)
	plain := make(chan string, 1)
	url, _ := start(t, dir, Options{
		Images: RegistryOptions{Fixed: []string{"live/*"}},
		Cache:  CacheOptions{Listen: "127.0.0.1:0", Offline: true, Ready: func(addr string) { plain <- addr }},
	})
	accounts, err := OpenAccounts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.Make(t.Context(), "ci", []auth.Grant{{Action: auth.Push, Pattern: "staging/*"}, {Action: auth.Push, Pattern: "live/*"}}, time.Time{})
	if err == nil {
		err = accounts.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	ca, err := Certificate(dir, addrOf(url))
	if err == nil {
		err = os.WriteFile(filepath.Join(work, "site.crt"), ca, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	skopeo := func(want bool, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "skopeo", append([]string{"--insecure-policy"}, args...)...)
		c.Env = []string{"HOME=" + work, "PATH=" + os.Getenv("PATH"), "XDG_RUNTIME_DIR=" + work, "TMPDIR=" + work}
		out, err := c.CombinedOutput()
		if (err == nil) != want {
			t.Fatalf("skopeo %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	at := "docker://" + addrOf(url)
	first, second := image(t, filepath.Join(work, "one"), "one"), image(t, filepath.Join(work, "two"), "two")
	push := func(want bool, from, to, login string) string {
		t.Helper()
		return skopeo(want, "copy", "--all", "--preserve-digests", "--src-cert-dir", work, "--dest-cert-dir", work, "--dest-creds", login, from, to)
	}
	push(true, "oci:"+work+"/one:v1", at+"/staging/app:v1", "ci:"+token)
	if out := push(false, "oci:"+work+"/one:v1", at+"/staging/app:v1", "ci:wrong"); !strings.Contains(out, "authentication") && !strings.Contains(out, "unauthorized") {
		t.Errorf("a wrong login: %s", out)
	}
	push(false, "oci:"+work+"/one:v1", at+"/other/app:v1", "ci:"+token)

	before := listing(t, filepath.Join(dir, "depot", "blobs", "sha256"))
	push(true, at+"/staging/app:v1", at+"/live/app:v1", "ci:"+token)
	if after := listing(t, filepath.Join(dir, "depot", "blobs", "sha256")); len(after) != len(before) {
		t.Errorf("a promotion copied %d blobs", len(after)-len(before))
	}
	push(true, "oci:"+work+"/two:v1", at+"/staging/app:v1", "ci:"+token)
	push(false, "oci:"+work+"/two:v1", at+"/live/app:v1", "ci:"+token) // a tag that must not move
	addr := <-plain
	cache := "docker://" + addr
	for name, want := range map[string]digest.Digest{"staging/app": second, "live/app": first} {
		for _, from := range []string{at, cache} {
			to := filepath.Join(work, fmt.Sprintf("%x", digest.Of([]byte(name + from))[7:15]))
			skopeo(true, "copy", "--all", "--preserve-digests", "--src-cert-dir", work, "--src-tls-verify="+fmt.Sprint(from == at), from+"/"+name+":v1", "oci:"+to+":v1")
			s, err := storedir.Open(to, storedir.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := s.Resolve(t.Context(), "v1"); got.Digest != want || err != nil {
				t.Errorf("%s from %s: %s, %v, want %s", name, from, got.Digest, err, want)
			}
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/v2/staging/app/tags/list", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("ci", token)
	if resp, err := http.DefaultTransport.RoundTrip(r); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("a login over plain HTTP: %+v, %v", resp, err)
	}
	list, err := Repositories(t.Context(), dir)
	if want := fmt.Sprint([]Repository{{"live/app", []string{"v1"}}, {"staging/app", []string{"v1"}}}); fmt.Sprint(list) != want || err != nil {
		t.Errorf("%v, %v, want %s", list, err, want)
	}
	keep, err := rootsOf(t, dir, openDepot(t, dir))
	for _, d := range []digest.Digest{first, second, digest.Of(random(1 << 20))} {
		if !keep[d] || err != nil {
			t.Errorf("%s may be evicted, %v", d, err)
		}
	}
}

// An image that only accounts may pull is not there for others by its digests either, also when it was deleted and
// its bytes are left; what a release needs is, whoever pushed the same bytes.
func TestPrivateImagesAreNoBlobsForEverybody(t *testing.T) {
	dir := newSite(t)
	url, _ := start(t, dir, Options{
		Images: RegistryOptions{Private: true, Delete: true}, Cache: CacheOptions{Listen: "127.0.0.1:0", Writes: true},
	})
	accounts, err := OpenAccounts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.Make(t.Context(), "ci", []auth.Grant{{Action: auth.Push, Pattern: "**"}, {Action: auth.Delete, Pattern: "**"}}, time.Time{})
	if err := errors.Join(err, accounts.Close()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	status := func(method, path, body string, login bool) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "https://"+addrOf(url)+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if login {
			r.SetBasicAuth("ci", token)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	push := func(text string) digest.Digest {
		t.Helper()
		d := digest.Of([]byte(text))
		if got := status("POST", "/v2/a/blobs/uploads/?digest="+string(d), text, true); got != http.StatusCreated {
			t.Fatalf("push: %d", got)
		}
		return d
	}
	layer, config, released := push("layer"), push("{}"), push("released")
	m := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"x","digest":%q,"size":2},"layers":[{"mediaType":"x","digest":%q,"size":5}]}`,
		ocispec.MediaTypeImageManifest, config, layer)
	manifest := digest.Of([]byte(m))
	if got := status("PUT", "/v2/a/manifests/"+string(manifest), m, true); got != http.StatusCreated {
		t.Fatalf("push: %d", got)
	}
	depot := openDepot(t, dir)
	tag := func(name string, d digest.Digest) {
		t.Helper()
		if err := depot.Tag(t.Context(), name, ocispec.Descriptor{MediaType: "x", Digest: d, Size: int64(len(name))}); err != nil {
			t.Fatal(err)
		}
	}
	other, err := store.PutBytes(t.Context(), depot, []byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	seen := func(want int, all ...digest.Digest) {
		t.Helper()
		for _, d := range all {
			for _, method := range []string{"HEAD", "GET"} {
				if got := status(method, "/v1/blobs/"+string(d), "", false); got != want {
					t.Errorf("%s %s: %d, want %d", method, d, got, want)
				}
			}
		}
	}
	seen(http.StatusNotFound, layer, config, released, manifest)
	// Nor from the network cache, which takes no sum for bytes that are private, and does not say their other name.
	raw, err := hex.DecodeString(layer.Encoded())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{strings.Repeat("ab", 64), fmt.Sprintf("%x", sha512.Sum512([]byte("layer")))} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://"+addrOf(url)+"/shacache/"+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Range", "bytes */5")
		r.Header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(raw)+":")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusPermanentRedirect || resp.Header.Get("Range") != "" {
			t.Errorf("is it here? %d %s %v %v", resp.StatusCode, text, resp.Header, err)
		}
		if got := status(http.MethodGet, "/shacache/"+name, "", false); got != http.StatusNotFound {
			t.Errorf("it is: %d", got)
		}
	}
	tag("released", released)
	seen(http.StatusOK, released, other)
	for _, path := range []string{"manifests/" + string(manifest), "blobs/" + string(layer)} {
		if got := status("DELETE", "/v2/a/"+path, "", true); got != http.StatusAccepted {
			t.Fatalf("delete %s: %d", path, got)
		}
	}
	seen(http.StatusNotFound, layer, manifest)
}

// Over plain HTTP no login is taken, whatever everybody may do; private images are for accounts alone.
func TestWhoMayPull(t *testing.T) {
	dir := newSite(t)
	known, err := openFacts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	token, err := auth.Open(known).Make(t.Context(), "ci", []auth.Grant{{Action: auth.Pull, Pattern: "**"}}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	const none = http.StatusNotFound // the repository does not exist
	for _, c := range []struct {
		private, secure, login bool
		want                   int
	}{
		{false, true, true, none},
		{false, true, false, none},
		{false, false, true, http.StatusForbidden},
		{false, false, false, none},
		{true, true, true, none},
		{true, true, false, http.StatusUnauthorized},
		{true, false, true, http.StatusForbidden},
		{true, false, false, http.StatusForbidden},
	} {
		i, err := openImages(dir, openDepot(t, dir), known, Options{Images: RegistryOptions{Private: c.private}})
		if err != nil {
			t.Fatal(err)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v2/a/tags/list", nil)
		if c.login {
			r.SetBasicAuth("ci", token)
		}
		if i.route(c.secure).Handler.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%+v: %d %s", c, w.Code, w.Body)
		}
		if err := i.registry.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What a site whose images are for accounts mirrors of another registry is for accounts as well: not by its name, not by its
// digests where nodes get their blobs, and not for other sites.
func TestMirroredImagesOfAPrivateSite(t *testing.T) {
	hub := newSite(t)
	hubURL, _ := start(t, hub, Options{})
	cert, err := Certificate(hub, addrOf(hubURL))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	do := func(method, url, login, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if name, token, ok := strings.Cut(login, ":"); ok {
			r.SetBasicAuth(name, token)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	account := func(dir string, g auth.Grant) string {
		t.Helper()
		accounts, err := OpenAccounts(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		token, err := accounts.Make(t.Context(), "ci", []auth.Grant{g}, time.Time{})
		if err := errors.Join(err, accounts.Close()); err != nil {
			t.Fatal(err)
		}
		return "ci:" + token
	}
	layer := digest.Of([]byte("layer"))
	push := "https://" + addrOf(hubURL) + "/v2/library/app/blobs/uploads/?digest=" + string(layer)
	if got, text := do("POST", push, account(hub, auth.Grant{Action: auth.Push, Pattern: "**"}), "layer"); got != http.StatusCreated {
		t.Fatalf("push: %d %s", got, text)
	}
	certificate := filepath.Join(t.TempDir(), "hub.crt")
	if err := os.WriteFile(certificate, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	mirrors := []Mirror{{Name: "hub.example", URL: "https://" + addrOf(hubURL), Certificate: certificate}}
	for _, private := range []bool{true, false} {
		dir := newSite(t)
		url, _ := start(t, dir, Options{Images: RegistryOptions{Private: private, Mirrors: mirrors}})
		ci, other := account(dir, auth.Grant{Action: auth.Pull, Pattern: "hub.example/library/*"}), 200
		at := "https://" + addrOf(url)
		if private {
			other = 401
		}
		blob := "/v2/hub.example/library/app/blobs/" + string(layer)
		if got, text := do("GET", at+blob, ci, ""); got != 200 || text != "layer" {
			t.Fatalf("with an account: %d %s", got, text)
		}
		if got, text := do("GET", at+blob, "", ""); got != other {
			t.Errorf("private: %v: without one: %d %s", private, got, text)
		}
		facts, err := openFacts(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		// Noted before it was stored: it is nobody else's in between, nor when it cannot be said whose it is.
		came, err := facts.RegistryCame(t.Context(), layer)
		if err := errors.Join(err, facts.Close()); err != nil || came != private {
			t.Errorf("private: %v: noted: %v, %v", private, came, err)
		}
		if private {
			other = 404
		}
		for _, path := range []string{"/v1/blobs/" + string(layer), "/v1/cache/oci/hub.example%2Flibrary%2Fapp%2Fblobs%2F" + string(layer)} {
			if got, text := do("GET", at+path, "", ""); got != other {
				t.Errorf("private: %v: %s: %d %s", private, path, got, text)
			}
		}
	}
}
