package registry_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"overland/internal/auth"
	domain "overland/internal/registry"
)

// The public conformance suite, its version pinned in tools/ociconformance, with every API and every kind of data that
// it knows, by a client that has to log in.
func TestConformance(t *testing.T) {
	suite := filepath.Join(t.TempDir(), "suite")
	build := exec.Command("go", "build", "-C", "../../../tools/ociconformance", "-o", suite, "github.com/opencontainers/distribution-spec/conformance")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	every := []string{
		"OCI_VERSION=dev", "OCI_API_BLOBS_DIGEST_HEADER=true", "OCI_API_BLOBS_UPLOAD_CANCEL=true", "OCI_API_MANIFESTS_DIGEST_HEADER=true",
		"OCI_API_MANIFESTS_TAG_PARAM=true", "OCI_DATA_SPARSE=true",
	}
	keep := []string{
		"OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false",
		"OCI_API_BLOBS_ATOMIC=false", "OCI_API_MANIFESTS_ATOMIC=false", "OCI_API_TAGS_ATOMIC=false",
	}
	t.Run("everything", func(t *testing.T) {
		t.Parallel()
		counts := conform(t, suite, domain.Options{Delete: true, Sparse: true}, every)
		if counts["FAIL"] != "0" || counts["Skip"] != "0" || counts["Disabled"] != "0" || counts["Error"] != "0" || len(counts["Pass"]) < 4 {
			t.Errorf("%v", counts)
		}
	})
	t.Run("nothing is deleted", func(t *testing.T) {
		t.Parallel()
		counts := conform(t, suite, domain.Options{Sparse: true}, append(keep, every...))
		if counts["FAIL"] != "0" || counts["Error"] != "0" || len(counts["Pass"]) < 3 {
			t.Errorf("%v", counts)
		}
	})
}

var countLine = regexp.MustCompile(`(?m)^ +(Disabled|Skip|Pass|FAIL|Error)\.+: +([0-9]+)$`)

// conform runs the suite and returns its counts.
func conform(t *testing.T, suite string, o domain.Options, settings []string) map[string]string {
	t.Helper()
	b := newBench(t, o)
	token := b.account(t, "ann", auth.Grant{Action: auth.Push, Pattern: "conformance/**"}, auth.Grant{Action: auth.Delete, Pattern: "conformance/**"})
	c := exec.Command(suite)
	c.Dir = t.TempDir()
	ca := filepath.Join(c.Dir, "ca.pem")
	if err := os.WriteFile(ca, b.ca, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Env = append([]string{
		"HOME=" + c.Dir, "PATH=" + os.Getenv("PATH"), "OCI_REGISTRY=" + strings.TrimPrefix(b.url, "https://"), "SSL_CERT_FILE=" + ca,
		"OCI_USERNAME=ann", "OCI_PASSWORD=" + token,
	}, settings...)
	out, err := c.CombinedOutput()
	counts := map[string]string{}
	for _, m := range countLine.FindAllStringSubmatch(string(out), -1) {
		counts[m[1]] = m[2]
	}
	if err != nil {
		t.Errorf("%v\n%s", err, failures(string(out)))
	}
	return counts
}

// failures returns the lines of out that tell of a failure.
func failures(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if strings.Contains(line, "FAIL") || strings.Contains(line, "Error") {
			b.WriteString(line)
		}
	}
	return b.String()
}
