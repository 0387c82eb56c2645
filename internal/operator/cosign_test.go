//go:build cosign

package operator_test

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"overland/internal/appfile"
	"overland/internal/image"
	"overland/internal/operator"
	"overland/internal/provenance"
	"overland/internal/registry/client"
	"overland/internal/trust/keys"
)

// cosign verifies what is signed, in a registry with and without the referrers API and beside a file, with the key alone: it is
// in a network namespace of its own for files. Run by make cosign: building it takes ten minutes of a processor.
func TestCosignVerifies(t *testing.T) {
	cosign := os.Getenv("COSIGN")
	p := begin(t)
	ref := explained(t, p, "r1.aaaaaaaaaaaa", "2.41", root(t, nil), image.Run{}, appfile.Service{})
	list, err := p.Provenance(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := write("release.pub", keys.EncodePublic(list[0].Key.Key))
	other, err := p.Keys().New("other", []byte{})
	if err != nil {
		t.Fatal(err)
	}
	wrong := write("other.pub", keys.EncodePublic(other.Key))
	run := func(key string, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), "unshare", append([]string{"-n", cosign}, args...)...)
		if !strings.Contains(args[0], "blob") { // the registry is on this machine
			c = exec.CommandContext(t.Context(), cosign, args...)
		}
		c.Args = append(c.Args, "--key", key, "--insecure-ignore-tlog", "--type", provenance.PredicateType)
		c.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "HTTPS_PROXY=http://127.0.0.1:1"}
		out, err := c.CombinedOutput()
		return string(out), err
	}
	for _, m := range list {
		if m.Artifact != "wallet" {
			continue
		}
		bundle := write("bundle.json", m.Bundle)
		blob, err := p.Depot().Open(t.Context(), m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if _, err := io.Copy(&b, blob); err != nil || blob.Close() != nil {
			t.Fatal(err)
		}
		program := write("wallet", b.Bytes())
		if out, err := run(key, "verify-blob-attestation", "--bundle", bundle, program); err != nil {
			t.Errorf("a program: %v: %s", err, out)
		}
		if out, err := run(wrong, "verify-blob-attestation", "--bundle", bundle, program); err == nil {
			t.Errorf("a program, by another key: %s", out)
		}
		if out, err := run(key, "verify-blob-attestation", "--bundle", bundle, key); err == nil {
			t.Errorf("another file: %s", out)
		}
	}
	for what, api := range map[string]bool{"with the API": true, "with the tag": false} {
		srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(api)))
		defer srv.Close()
		to := strings.TrimPrefix(srv.URL, "http://") + "/wallet"
		done, err := p.PushImage(t.Context(), operator.ImageOptions{Ref: ref}, to, false, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range done {
			if out, err := run(key, "verify-attestation", d.Name); err != nil || !strings.Contains(out, "verified against the specified public key") {
				t.Errorf("%s: %s: %v: %s", what, d.Name, err, out)
			}
			if out, err := run(wrong, "verify-attestation", d.Name); err == nil {
				t.Errorf("%s: %s, by another key: %s", what, d.Name, out)
			}
		}
	}
}
