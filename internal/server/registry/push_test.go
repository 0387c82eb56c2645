package registry_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/errs"
	"overland/internal/image"
	"overland/internal/platform"
	domain "overland/internal/registry"
	"overland/internal/registry/client"
	"overland/internal/store/mem"
)

// An image goes to a site's registry with the login that docker has, under a name for each platform; the index
// comes last. skopeo finds it there.
func TestAnImageIsPushed(t *testing.T) {
	b := newBench(t, domain.Options{})
	token := b.account(t, "ci", auth.Grant{Action: auth.Push, Pattern: "public/**"})
	host := strings.TrimPrefix(b.url, "https://")
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("REGISTRY_AUTH_FILE", "")
	login := func(name string) {
		text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte(name+":"+token)))
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var s mem.Store
	var images []ocispec.Descriptor
	for _, p := range []platform.Platform{"linux/arm/v6", "linux/arm64", "linux/amd64"} {
		text := string(p)
		l, err := image.PutLayer(t.Context(), &s, time.Unix(0, 0), func(l *image.Layer) error {
			return l.Add(image.Entry{Name: "etc/motd", Size: int64(len(text))}, strings.NewReader(text))
		})
		if err != nil {
			t.Fatal(err)
		}
		w, err := image.Put(t.Context(), &s, image.Image{Platform: p, Layers: []image.Step{{Made: l}}})
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, w.Descriptor)
	}
	note, err := image.PutReferrer(t.Context(), &s, image.Referrer{Subject: images[0], Type: "application/spdx+json", Content: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	push := func(to string) ([]client.Pushed, error) {
		return client.Push(t.Context(), &s, to, "r412.abc", images, client.Options{CA: b.ca, Referrers: []client.Referrer{{Descriptor: note, Subject: images[0].Digest}}})
	}
	login("nobody")
	if done, err := push(host + "/public/wallet"); errs.KindOf(err) != errs.Denied || len(done) != 0 || !strings.Contains(errs.HintOf(err), "docker login "+host) || strings.Contains(err.Error(), token) {
		t.Errorf("with a wrong login: %v, %v", done, err)
	}
	login("ci")
	if _, err := push(host + "/private/wallet"); errs.KindOf(err) != errs.Denied {
		t.Errorf("where it may not: %v", err)
	}
	for range 2 { // again is no harm
		done, err := push(host + "/public/wallet")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range done {
			names = append(names, strings.TrimPrefix(d.Name, host+"/public/wallet:"))
		}
		if want := []string{"r412.abc-arm32v6", "r412.abc-arm64v8", "r412.abc-amd64", "r412.abc"}; !slices.Equal(names, want) {
			t.Errorf("%v, want %v", names, want)
		}
		for i, m := range images { // a plain manifest, not an index of one
			got := b.do(t, http.MethodGet, "/v2/public/wallet/manifests/"+names[i], "", "")
			if got.status != http.StatusOK || got.header.Get("Docker-Content-Digest") != string(m.Digest) || got.header.Get("Content-Type") != ocispec.MediaTypeImageManifest {
				t.Errorf("%s: %d %v", names[i], got.status, got.header)
			}
		}
	}
	about := b.do(t, http.MethodGet, "/v2/public/wallet/referrers/"+string(images[0].Digest), "", "")
	if about.status != http.StatusOK || strings.Count(about.body, `"artifactType":"application/spdx+json"`) != 1 {
		t.Errorf("what is said about an image: %d %s", about.status, about.body)
	}
	out, err := exec.CommandContext(t.Context(), "skopeo", "inspect", "--tls-verify=false", "--no-creds", "--raw", "docker://"+host+"/public/wallet:r412.abc").CombinedOutput()
	if err != nil || strings.Count(string(out), `"architecture"`) != 3 || !strings.Contains(string(out), `"variant":"v6"`) || strings.Contains(string(out), "unknown") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), "skopeo", "--override-arch", "arm", "--override-variant", "v7", "inspect", "--tls-verify=false", "--no-creds", "docker://"+host+"/public/wallet:r412.abc").CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"Architecture": "arm"`) {
		t.Errorf("a v7 takes v6: %v: %s", err, out)
	}
	if _, err := push("public/../wallet"); errs.KindOf(err) != errs.Invalid {
		t.Errorf("no name: %v", err)
	}
	if _, err := client.Push(t.Context(), &s, host+"/public/wallet", "r412.abc", images, client.Options{}); errs.KindOf(err) != errs.Unavailable || !strings.Contains(errs.HintOf(err), "--ca") {
		t.Errorf("an unknown certificate: %v", err)
	}
	damaged := images[0].Digest
	text, err := s.Bytes(t.Context(), damaged, 1<<20)
	if err != nil || s.Remove(t.Context(), damaged) != nil {
		t.Fatal(err)
	}
	if _, err := push(host + "/public/half"); err == nil {
		t.Errorf("a manifest of %d bytes is gone, and its image was pushed", len(text))
	}
	if got := b.do(t, http.MethodGet, "/v2/public/half/manifests/r412.abc", "", ""); got.status != http.StatusNotFound {
		t.Errorf("half an image has its name: %d", got.status)
	}
}
