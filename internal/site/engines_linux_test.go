package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"overland/internal/auth"
	"overland/internal/testkit/engines"
)

// settingsOfEngines are files below /etc for people's container programs. Nothing is isolated: nothing is run.
func settingsOfEngines(addr string, ca []byte, more map[string]string) map[string]string {
	files := map[string]string{
		"docker/certs.d/" + addr + "/ca.crt":         string(ca),
		"containers/certs.d/" + addr + "/ca.crt":     string(ca),
		"containerd/certs.d/" + addr + "/ca.crt":     string(ca),
		"containers/policy.json":                     `{"default":[{"type":"insecureAcceptAnything"}]}`,
		"containers/storage.conf":                    "[storage]\ndriver = \"vfs\"\ngraphroot = \"/var/lib/containers/storage\"\nrunroot = \"/run/containers/storage\"\n",
		"containers/containers.conf":                 "[engine]\nevents_logger = \"none\"\ncgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\n",
		"containerd/certs.d/" + addr + "/hosts.toml": fmt.Sprintf("server = \"https://%[1]s\"\n[host.\"https://%[1]s\"]\nca = \"/etc/containerd/certs.d/%[1]s/ca.crt\"\n", addr),
	}
	for name, text := range more {
		files[name] = text
	}
	return files
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
	file := filepath.Join(h.Dir(), "motd")
	if err := os.WriteFile(file, []byte("made by buildah"), 0o600); err != nil {
		t.Fatal(err)
	}
	staging, live := addr+"/staging/app", addr+"/live/app"
	for _, program := range []string{"docker", "podman"} {
		if out, err := h.Run(t.Context(), nil, program, "pull", "-q", staging+":one"); err == nil {
			t.Errorf("%s pulls without a login: %s", program, out)
		}
		if out, err := h.Run(t.Context(), strings.NewReader(token), program, "login", "-u", "ci", "--password-stdin", addr); err != nil {
			t.Fatalf("%s login: %v\n%s", program, err, out)
		}
	}
	made := strings.TrimSpace(h.Do(t, "buildah", "from", "scratch"))
	h.Do(t, "buildah", "copy", "-q", made, file, "/etc/motd")
	h.Do(t, "buildah", "commit", "-q", made, staging+":one")
	h.Do(t, "buildah", "push", "-q", staging+":one")

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
