package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"overland/internal/record"
)

// The projects that are fetched: real ones, of one version. What they depend on is fixed by the first two's own locks.
const (
	goProject  = "github.com/goreleaser/goreleaser/v2@v2.7.0"
	npmProject = "serverless@3.40.0"
	debProject = "build-essential git"
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
		clean:  func() error { return os.RemoveAll(filepath.Join(dir, "node_modules")) },
	}, nil
}

// debs prepares apt-get install --download-only, as on a machine that has nothing installed.
func (b *bench) debs(ctx context.Context) (*project, error) {
	dir := filepath.Join(b.dir, "apt-project")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	status := filepath.Join(dir, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	p := &project{
		dir: dir,
		script: "apt-get -qq update && apt-get -qq install -y --download-only --no-install-recommends" +
			" -o Dir::State::status=" + status + " " + debProject,
		direct: func(caches string) ([]string, error) { return aptConfig(caches, "") },
		floor: func(_, empty, home string) ([]string, error) {
			sources, err := mirror(filepath.Join(filepath.Dir(home), "overland.lock"), home, filepath.Join(filepath.Dir(home), "mirror"), "copy:")
			if err != nil {
				return nil, err
			}
			return aptConfig(empty, only(sources))
		},
	}
	env, err := aptConfig(filepath.Join(dir, "count"), "")
	if err != nil {
		return nil, err
	}
	n, err := output(ctx, dir, env[0]+"; export APT_CONFIG; "+p.script+" && ls count/archives/*.deb | wc -l")
	p.name = "apt-get update + install --download-only, " + n + " packages"
	return p, err
}

// aptConfig makes empty caches, and returns the environment of an apt that uses them and the lines of configuration.
func aptConfig(caches, lines string) ([]string, error) {
	for _, sub := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(caches, sub), 0o755); err != nil {
			return nil, err
		}
	}
	text := fmt.Sprintf("Dir::State::lists %q; Dir::Cache::archives %q; Dir::Cache::pkgcache \"\"; Dir::Cache::srcpkgcache \"\";\n"+
		"APT::Sandbox::User \"root\";\n%s\n", filepath.Join(caches, "lists"), filepath.Join(caches, "archives"), lines)
	file := filepath.Join(caches, "apt.conf")
	return []string{"APT_CONFIG=" + file}, os.WriteFile(file, []byte(text), 0o644)
}

// only returns the lines of configuration of an apt that has no other sources than the file sources.
func only(sources string) string {
	return fmt.Sprintf("Dir::Etc::sourcelist %q; Dir::Etc::sourceparts \"/dev/null\";", sources)
}

// mirror lays the archives of a recording out as files below dir, and returns a sources list for them. base is where
// they are served from; "copy:" = as files.
func mirror(lock, home, dir, base string) (string, error) {
	f, err := os.Open(lock)
	if err != nil {
		return "", err
	}
	defer f.Close()
	l, err := record.ParseLock(f, 0)
	if err != nil {
		return "", err
	}
	var sources strings.Builder
	for _, e := range l.Entries {
		if e.Protocol != "apt" || !e.Exists() {
			continue
		}
		path := filepath.Join(dir, e.Key)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.Symlink(filepath.Join(home, "depot", "blobs", "sha256", e.Blob.Encoded()), path); err != nil {
			return "", err
		}
		if archive, rest, ok := strings.Cut(e.Key, "/dists/"); ok && strings.HasSuffix(rest, "/InRelease") {
			at := base + "/" + archive
			if base == "copy:" {
				at = base + filepath.Join(dir, archive)
			}
			fmt.Fprintf(&sources, "deb %s %s main\n", at, strings.TrimSuffix(rest, "/InRelease"))
		}
	}
	file := filepath.Join(dir, "mirror.list")
	return file, os.WriteFile(file, []byte(sources.String()), 0o644)
}
