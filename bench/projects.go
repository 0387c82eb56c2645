package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The projects that are fetched: real ones, of one version. What they depend
// on is fixed by their own locks.
const (
	goProject  = "github.com/goreleaser/goreleaser/v2@v2.7.0"
	npmProject = "serverless@3.40.0"
)

// modules prepares go mod download.
func (b *bench) modules(ctx context.Context) (*project, error) {
	dir := filepath.Join(b.dir, "go-project")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", goProject).Output()
	if err != nil {
		return nil, fmt.Errorf("go mod download %s: %w", goProject, err)
	}
	var at struct{ Dir string }
	if err := json.Unmarshal(out, &at); err != nil {
		return nil, err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(at.Dir, name))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return nil, err
		}
	}
	n, err := output(ctx, dir, "grep -cE '^[[:space:]]+[^ ]+ v[0-9]' go.mod")
	if err != nil {
		return nil, err
	}
	env := func(caches string, more ...string) []string {
		return append([]string{"GOPATH=" + caches, "GOMODCACHE=" + filepath.Join(caches, "pkg", "mod")}, more...)
	}
	return &project{
		name: "go mod download, " + n + " modules", dir: dir, script: "go mod download",
		direct: func(caches string) ([]string, error) { return env(caches), nil },
		floor: func(caches, empty, _ string) ([]string, error) {
			return env(empty, "GOPROXY=file://"+filepath.Join(caches, "pkg", "mod", "cache", "download"), "GOSUMDB=off"), nil
		},
	}, nil
}

// packages prepares npm ci.
func (b *bench) packages(ctx context.Context) (*project, error) {
	dir := filepath.Join(b.dir, "npm-project")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"name": "bench", "version": "1.0.0", "private": true}`), 0o644); err != nil {
		return nil, err
	}
	n, err := output(ctx, dir, "npm_config_omit_lockfile_registry_resolved=false npm install --package-lock-only --ignore-scripts --silent "+
		npmProject+" && grep -c '\"integrity\"' package-lock.json")
	if err != nil {
		return nil, err
	}
	env := func(caches string, more ...string) []string {
		return append([]string{"npm_config_cache=" + caches}, more...)
	}
	return &project{
		name: "npm ci, " + n + " packages", dir: dir, script: "npm ci --ignore-scripts --silent",
		direct: func(caches string) ([]string, error) { return env(caches), nil },
		floor:  func(caches, _, _ string) ([]string, error) { return env(caches, "npm_config_offline=true"), nil },
		clean:  func(context.Context) error { return os.RemoveAll(filepath.Join(dir, "node_modules")) },
	}, nil
}
