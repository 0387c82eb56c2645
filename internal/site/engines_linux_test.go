package site

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"overland/internal/auth"
	"overland/internal/digest"
	ocimage "overland/internal/image"
	"overland/internal/release"
	registryface "overland/internal/server/registry"
	"overland/internal/store"
	storedir "overland/internal/store/dir"
	"overland/internal/testkit/engines"
	"overland/internal/volume"
)

// settingsOfEngines are files below /etc for people's container programs. Nothing is isolated: nothing is run.
func settingsOfEngines(addr string, ca []byte, more map[string]string) map[string]string {
	files := map[string]string{
		"docker/certs.d/" + addr + "/ca.crt":         string(ca),
		"containers/certs.d/" + addr + "/ca.crt":     string(ca),
		"containerd/certs.d/" + addr + "/ca.crt":     string(ca),
		"resolv.conf":                                "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", // nobody is asked
		"containers/policy.json":                     `{"default":[{"type":"insecureAcceptAnything"}]}`,
		"containers/storage.conf":                    "[storage]\ndriver = \"vfs\"\ngraphroot = \"/var/lib/containers/storage\"\nrunroot = \"/run/containers/storage\"\n",
		"containers/containers.conf":                 "[engine]\nevents_logger = \"none\"\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\n",
		"containerd/certs.d/" + addr + "/hosts.toml": fmt.Sprintf("server = \"https://%[1]s\"\n[host.\"https://%[1]s\"]\nca = \"/etc/containerd/certs.d/%[1]s/ca.crt\"\n", addr),
	}
	maps.Copy(files, more)
	return files
}

// pushImage makes an image with one file, and pushes it as to.
func pushImage(t *testing.T, h *engines.Host, to string, flags ...string) {
	t.Helper()
	file := filepath.Join(h.Dir(), "motd")
	if err := os.WriteFile(file, []byte("made by buildah"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := strings.TrimSpace(h.Do(t, "buildah", "from", "scratch"))
	h.Do(t, "buildah", "copy", "-q", made, file, "/etc/motd")
	h.Do(t, "buildah", "commit", "-q", made, "made")
	h.Do(t, append(append([]string{"buildah", "push", "-q"}, flags...), "made", "docker://"+to)...)
}

// loadSaved saves the image with manifest d of the site in dir to a file, which each program takes.
func loadSaved(t *testing.T, h *engines.Host, dir, d string) {
	t.Helper()
	depot, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := depot.Bytes(t.Context(), digest.Digest(d), store.ManifestLimit)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(h.Dir(), "saved.tar")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(d), Size: int64(len(manifest))}
	if err := errors.Join(ocimage.Save(t.Context(), depot, desc, "localhost/saved:r1", f), f.Close()); err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		t.Fatal(err)
	}
	for _, take := range [][]string{
		{"docker", "load", "-q", "-i", file},
		{"docker", "image", "inspect", "--format", "{{.Id}}", "localhost/saved:r1"},
		{"podman", "load", "-q", "-i", file},
		{"podman", "image", "inspect", "--format", "sha256:{{.Id}}", "localhost/saved:r1"},
		{"ctr", "images", "import", file},
		{"skopeo", "inspect", "--format", "{{.Digest}}", "docker-archive:" + file},
	} {
		out := h.Do(t, take...)
		if strings.Contains(take[2], "inspect") && strings.TrimSpace(out) != string(m.Config.Digest) {
			t.Errorf("%s: %s, not %s", take[0], out, m.Config.Digest)
		}
	}
}

// pullFromVolume seals the image with manifest d of the site in dir into a volume, out of which each program pulls it, as
// `overland registry serve` gives it.
func pullFromVolume(t *testing.T, h *engines.Host, dir, d string) {
	t.Helper()
	depot := openDepot(t, dir)
	manifest, err := depot.Bytes(t.Context(), digest.Digest(d), store.ManifestLimit)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(manifest, &m); err != nil {
		t.Fatal(err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(d), Size: int64(len(manifest))}
	parts, err := store.Reach(t.Context(), depot, []ocispec.Descriptor{desc}, nil)
	if err != nil {
		t.Fatal(err)
	}
	index, err := store.MarshalIndex(nil)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.volume")
	_, err = volume.Seal(t.Context(), file, volume.Content{
		Blobs: parts, Index: index, Open: func(d digest.Digest) (io.ReadCloser, error) { return depot.Open(t.Context(), d) },
	}, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := volume.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	r := &release.Release{App: "app", Version: "r1", Artifacts: []release.Artifact{{
		Name: "node", Kind: release.KindImage, Platform: "linux/amd64", Blob: release.Blob{Digest: desc.Digest, Size: desc.Size},
	}}}
	images, err := registryface.NewCarried(t.Context(), v, []*release.Release{r})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(images)
	defer s.Close()
	name := strings.TrimPrefix(s.URL, "http://") + "/app/node:r1"
	h.Do(t, "docker", "pull", "-q", name)
	h.Do(t, "podman", "pull", "-q", "--tls-verify=false", name)
	h.Do(t, "ctr", "images", "pull", "--plain-http", name)
	for program, format := range map[string]string{"docker": "{{.Id}}", "podman": "sha256:{{.Id}}"} {
		if out := strings.TrimSpace(h.Do(t, program, "image", "inspect", "--format", format, name)); out != string(m.Config.Digest) {
			t.Errorf("%s has %s, not %s", program, out, m.Config.Digest)
		}
	}
}

// What people have for images works as it is: each pushes, and the next pulls what it pushed, of a site whose images are
// for accounts. A release's tag stands, and nothing is copied for it.
func TestEnginesPushAndPull(t *testing.T) {
	dir := newSite(t)
	url, _ := start(t, dir, Options{Images: RegistryOptions{Private: true, Fixed: []string{"live/*"}}})
	addr := addrOf(url)
	accounts, err := OpenAccounts(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.Make(t.Context(), "ci", []auth.Grant{{Action: auth.Push, Pattern: "staging/*"}, {Action: auth.Push, Pattern: "live/*"}}, time.Time{})
	if err := errors.Join(err, accounts.Close()); err != nil {
		t.Fatal(err)
	}
	ca, err := Certificate(dir, addr)
	if err != nil {
		t.Fatal(err)
	}
	h := engines.Start(t, settingsOfEngines(addr, ca, nil))
	staging, live := addr+"/staging/app", addr+"/live/app"
	for _, program := range []string{"docker", "podman"} {
		if out, err := h.Run(t.Context(), nil, program, "pull", "-q", staging+":one"); err == nil {
			t.Errorf("%s pulls without a login: %s", program, out)
		}
		if out, err := h.Run(t.Context(), strings.NewReader(token), program, "login", "-u", "ci", "--password-stdin", addr); err != nil {
			t.Fatalf("%s login: %v\n%s", program, err, out)
		}
	}
	pushImage(t, h, staging+":one")
	made := strings.TrimSpace(h.Do(t, "skopeo", "inspect", "--format", "{{.Digest}}", "docker://"+staging+":one"))
	loadSaved(t, h, dir, made)
	pullFromVolume(t, h, dir, made)

	h.Do(t, "docker", "pull", "-q", staging+":one")
	h.Do(t, "docker", "create", "--name", "one", staging+":one", "x")
	if out := h.Do(t, "docker", "cp", "one:/etc/motd", "-"); !strings.Contains(out, "made by buildah") {
		t.Errorf("docker has another file: %q", out)
	}
	h.Do(t, "docker", "tag", staging+":one", live+":r1")
	h.Do(t, "docker", "push", "-q", live+":r1")

	h.Do(t, "podman", "pull", "-q", live+":r1")
	h.Do(t, "podman", "push", "-q", live+":r1", staging+":two")

	h.Do(t, "ctr", "images", "pull", "--hosts-dir", "/etc/containerd/certs.d", "-u", "ci:"+token, staging+":two")
	h.Do(t, "ctr", "images", "tag", staging+":two", live+":r2")
	h.Do(t, "ctr", "images", "push", "--hosts-dir", "/etc/containerd/certs.d", "-u", "ci:"+token, live+":r2")

	blobs := filepath.Join(dir, "depot", "blobs", "sha256")
	before := listing(t, blobs)
	h.Do(t, "skopeo", "copy", "-q", "docker://"+live+":r2", "docker://"+live+":r3")
	if after := listing(t, blobs); len(after) != len(before) {
		t.Errorf("another name for an image brought %d blobs", len(after)-len(before))
	}
	h.Do(t, "docker", "commit", "one", live+":r1")
	if out, err := h.Run(t.Context(), nil, "docker", "push", live+":r1"); err == nil || !strings.Contains(out, "for good") {
		t.Errorf("a release's tag was moved: %v\n%s", err, out)
	}
}

// An image of another registry, which is a second site here, comes through a site to each program with the file that
// `overland cache env --for` prints for it; again when that registry is gone.
func TestEnginesPullThrough(t *testing.T) {
	hub := newSite(t)
	hubURL, stopHub := start(t, hub, Options{})
	hubCert, err := Certificate(hub, addrOf(hubURL))
	if err != nil {
		t.Fatal(err)
	}
	accounts, err := OpenAccounts(t.Context(), hub)
	if err != nil {
		t.Fatal(err)
	}
	token, err := accounts.Make(t.Context(), "ci", []auth.Grant{{Action: auth.Push, Pattern: "**"}}, time.Time{})
	if err := errors.Join(err, accounts.Close()); err != nil {
		t.Fatal(err)
	}
	dir := newSite(t)
	text := fmt.Sprintf("site: 1\nregistry:\n  mirrors:\n    hub.example: {url: \"https://%s\", certificate: hub.crt}\n  dockerMirrors: hub.example\n", addrOf(hubURL))
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "hub.crt"), hubCert, 0o600), os.WriteFile(filepath.Join(dir, "site.yaml"), []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	written, err := ReadSettings(dir)
	if err != nil {
		t.Fatal(err)
	}
	url, _ := start(t, dir, Options{Images: written.Registry.Options(dir)})
	addr := addrOf(url)
	ca, err := Certificate(dir, addr)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"containers/certs.d/" + addrOf(hubURL) + "/ca.crt": string(hubCert)}
	for _, program := range []string{"docker", "containerd", "podman"} {
		var registries []string
		if program == "podman" {
			registries = []string{"hub.example"}
		}
		p, err := registryface.Point(program, "https://"+addr, registries)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(p.Path, "/etc/")], files[strings.TrimPrefix(p.Certificate, "/etc/")] = p.Text, string(ca)
	}
	h := engines.Start(t, settingsOfEngines(addr, ca, files))
	pushImage(t, h, addrOf(hubURL)+"/library/app:v1", "--creds", "ci:"+token)
	for _, up := range []bool{true, false} {
		if !up {
			stopHub()
		}
		for _, pull := range [][]string{
			{"docker", "pull", "-q", "app:v1"},
			{"ctr", "images", "pull", "--hosts-dir", "/etc/containerd/certs.d", "hub.example/library/app:v1"},
			{"podman", "pull", "-q", "hub.example/library/app:v1"},
			{"skopeo", "inspect", "--no-tags", "docker://" + addr + "/hub.example/library/app:v1"},
		} {
			if out, err := h.Run(t.Context(), nil, pull...); err != nil {
				t.Errorf("with its registry up: %v: %s: %v\n%s", up, strings.Join(pull, " "), err, out)
			}
		}
		h.Do(t, "docker", "rmi", "-f", "app:v1")
		h.Do(t, "podman", "rmi", "-f", "hub.example/library/app:v1")
		h.Do(t, "ctr", "images", "rm", "--sync", "hub.example/library/app:v1")
	}
}
