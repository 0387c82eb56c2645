package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"overland/internal/platform"
)

// koVersion is the rival's, which is built once; it takes a base image from a registry and builds each platform anew.
const koVersion = "github.com/google/ko@v0.19.1"

const httpProgram = `package main

import (
	"fmt"
	"log"
	"net/http"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL) })
	log.Fatal(http.ListenAndServe(":8080", nil))
}
`

// images measures the image of a Go program for five platforms, beside ko: everything compiled before and the commit as it was,
// a commit that changes a line of the program, and with empty caches.
func (b *bench) images(ctx context.Context) error {
	dir, err := os.MkdirTemp(b.dir, "images-")
	if err != nil {
		return err
	}
	repo := filepath.Join(dir, "app")
	if err := committed(ctx, repo, map[string]string{
		"main.go": httpProgram, "base": "data\n", "go.mod": "module hello\n\ngo 1.26.0\ntoolchain go1.26.8\n",
		"overland.yaml": `overland: 1
name: hello
artifacts:
  hello: {go: .}
  image:
    image: {files: {/etc/base: ./base, /ko-app/hello: hello}, entrypoint: [/ko-app/hello]}
`,
	}); err != nil {
		return err
	}
	base := filepath.Join(dir, "base")
	if err := committed(ctx, base, map[string]string{
		"base": "data\n", "overland.yaml": "overland: 1\nname: base\nartifacts:\n  base:\n    image: {files: {/etc/base: ./base}, entrypoint: [/none]}\n",
	}); err != nil {
		return err
	}
	tools := filepath.Join(dir, "tools")
	install := exec.CommandContext(ctx, "go", "install", koVersion)
	install.Env = append(os.Environ(), "GOBIN="+tools, "GOFLAGS=-mod=mod")
	if _, err := measure(install); err != nil {
		return err
	}
	layout := filepath.Join(dir, "layout")
	if _, err := measure(b.command(ctx, "build", "--out", "oci:"+layout, base)); err != nil {
		return err
	}
	registry, err := pulled(layout, "base")
	if err != nil {
		return err
	}
	defer registry.Close()

	var names []string
	for _, p := range platform.All() {
		names = append(names, string(p))
	}
	n := 0
	ours := func(home string) *exec.Cmd {
		cmd := b.command(ctx, "--home", filepath.Join(dir, home), "build", "--out", "oci:"+filepath.Join(dir, fmt.Sprint("out-", n)), repo)
		cmd.Env = append(cmd.Env, "GOCACHE="+filepath.Join(dir, home+"-go"))
		return cmd
	}
	ko := func(home string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(tools, "ko"), "build", "--push=false", "--sbom=none", "--oci-layout-path", filepath.Join(dir, fmt.Sprint("ko-", n)),
			"--platform", strings.Join(names, ","), ".")
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "KO_DOCKER_REPO=localhost/none", "KO_DEFAULTBASEIMAGE="+strings.TrimPrefix(registry.URL, "http://")+"/base:1",
			"GOCACHE="+filepath.Join(dir, home+"-go"), "KOCACHE="+filepath.Join(dir, home))
		return cmd
	}
	change := func() error {
		text := fmt.Sprintf("%s\nvar _ = %d\n", httpProgram, n)
		if err := os.WriteFile(filepath.Join(repo, "main.go"), []byte(text), 0o644); err != nil {
			return err
		}
		_, err := output(ctx, repo, "git -c user.name=bench -c user.email=bench@localhost commit -qam change")
		return err
	}
	var cold, changed, warm [2]way
	for range b.rounds {
		n++
		if err := change(); err != nil {
			return err
		}
		homes := [2]string{fmt.Sprint("overland-", n), fmt.Sprint("cache-ko-", n)}
		for _, what := range []*[2]way{&cold, &changed, &warm} {
			if what == &changed {
				if n++; change() != nil {
					return err
				}
			}
			for i, command := range []func(string) *exec.Cmd{ours, ko} {
				c, err := measure(command(homes[i]))
				if err != nil {
					return err
				}
				what[i].runs = append(what[i].runs, c)
				fmt.Fprintf(os.Stderr, "  %s: %.1f s, %.1f CPU-s\n", [2]string{"ours", "ko"}[i], c.wall.Seconds(), c.cpu.Seconds())
			}
		}
		for _, home := range homes {
			if err := exec.CommandContext(ctx, "rm", "-rf", filepath.Join(dir, home), filepath.Join(dir, home+"-go")).Run(); err != nil {
				return err
			}
		}
	}
	for _, row := range []struct {
		what string
		of   *[2]way
		must string
	}{
		{"from nothing", &cold, "≤ 0.9 × ko"}, {"a changed line", &changed, ""}, {"again", &warm, "≤ 0.4 × ko"},
	} {
		a, k := &row.of[0], &row.of[1]
		b.table.add("an image of a Go program for five platforms, "+row.what, "%s; ko: %s; wall %s, CPU %.2f ×", row.must, a, k, a.against(k),
			a.sorted(cpuOf)[0]/k.sorted(cpuOf)[0])
	}
	return nil
}

// committed makes a git repository in dir with these files.
func committed(ctx context.Context, dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	_, err := output(ctx, dir, "git init -q && git add . && git -c user.name=bench -c user.email=bench@localhost commit -qm bench")
	return err
}

// pulled serves the image called name in an OCI layout as a registry has it, under every tag; nothing can be pushed.
func pulled(layout, name string) (*httptest.Server, error) {
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return nil, err
	}
	root := ""
	for _, m := range index.Manifests {
		if strings.HasPrefix(m.Annotations["org.opencontainers.image.ref.name"], name+":") {
			root = m.Digest
		}
	}
	if root == "" {
		return nil, fmt.Errorf("%s has no image %s", layout, name)
	}
	blob := func(digest string) string {
		return filepath.Join(layout, "blobs", strings.ReplaceAll(digest, ":", "/"))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/{$}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /v2/{name}/manifests/{ref}", func(w http.ResponseWriter, r *http.Request) {
		ref := r.PathValue("ref")
		if !strings.HasPrefix(ref, "sha256:") {
			ref = root
		}
		b, err := os.ReadFile(blob(ref))
		var m struct{ MediaType string }
		if err != nil || json.Unmarshal(b, &m) != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", m.MediaType)
		w.Header().Set("Docker-Content-Digest", ref)
		_, _ = w.Write(b)
	})
	mux.HandleFunc("GET /v2/{name}/blobs/{digest}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, blob(r.PathValue("digest")))
	})
	return httptest.NewServer(mux), nil
}
