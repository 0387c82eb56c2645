package pack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"overland/internal/digest"
)

// Crate is a crate of a sparse registry.
type Crate struct {
	Name, Version string
	Bytes         []byte
	Needs         []string // names of crates, of any version 1
	Yanked        bool
}

// NewCrate returns a library with the text source, which needs other crates of version 1.
func NewCrate(name, version, source string, needs ...string) Crate {
	dir := name + "-" + version + "/"
	return Crate{Name: name, Version: version, Needs: needs, Bytes: tarball(map[string]string{
		dir + "Cargo.toml": Manifest(name, version, needs...), dir + "src/lib.rs": source,
	})}
}

// Manifest returns a Cargo.toml.
func Manifest(name, version string, needs ...string) string {
	text := fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2018\"\n\n[dependencies]\n", name, version)
	for _, n := range needs {
		text += n + " = \"1\"\n"
	}
	return text
}

// Line returns c as a line of its index file.
func (c Crate) Line() string {
	type object map[string]any
	deps := []object{}
	for _, n := range c.Needs {
		deps = append(deps, object{
			"name": n, "req": "^1", "features": []string{}, "optional": false, "default_features": true, "target": nil, "kind": "normal",
		})
	}
	b, err := json.Marshal(object{
		"name": c.Name, "vers": c.Version, "deps": deps, "features": object{}, "yanked": c.Yanked, "cksum": digest.Of(c.Bytes).Encoded(),
	})
	must(err)
	return string(b) + "\n"
}

// SparseEnv returns the variables with which this machine's cargo speaks the sparse protocol: one
// from before 1.68, as Debian 12 has, can, and asks for consent.
func SparseEnv(ctx context.Context) (map[string]string, error) {
	out, err := exec.CommandContext(ctx, "cargo", "--version").Output()
	major, minor := 0, 0
	if _, err2 := fmt.Sscanf(string(out), "cargo %d.%d", &major, &minor); err != nil || err2 != nil {
		return nil, fmt.Errorf("cargo --version: %q, %w", out, errors.Join(err, err2))
	}
	if stable := 68; major == 1 && minor < stable {
		return map[string]string{"RUSTC_BOOTSTRAP": "1", "CARGO_UNSTABLE_SPARSE_REGISTRY": "true"}, nil
	}
	return nil, nil
}

// SparseCargo lets the test's cargo speak the sparse protocol.
func SparseCargo(t *testing.T) {
	t.Helper()
	env, err := SparseEnv(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

// Crates serves crates as a sparse registry below /index/, and themselves below /dl/.
type Crates []Crate

func (l Crates) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if r.URL.Path == "/index/config.json" {
		fmt.Fprintf(w, `{"dl":"%s://%s/dl/{lowerprefix}/{crate}/{version}/{sha256-checksum}","api":"%s://%s"}`, scheme, r.Host, scheme, r.Host)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/dl/") {
		i := slices.IndexFunc(l, func(c Crate) bool { return digest.Of(c.Bytes).Encoded() == path.Base(r.URL.Path) })
		if i >= 0 {
			w.Header().Set("Content-Type", "application/gzip")
			_, _ = w.Write(l[i].Bytes)
			return
		}
	}
	text := ""
	for _, c := range l {
		if strings.HasPrefix(r.URL.Path, "/index/") && strings.ToLower(c.Name) == path.Base(r.URL.Path) {
			text += c.Line()
		}
	}
	if text == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(text))
}
