package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The server: a public one, taken through the Go module proxy that the machine is set up with.
const (
	module    = "github.com/nats-io/nats-server/v2"
	version1  = "v2.15.1"
	version2  = "v2.15.2"
	toolchain = "go1.26.8"
)

// application is the overland.yaml that the demo puts beside the server's own files; PLATFORMS are
// those to build for, VERSION is what it must report.
const application = `overland: 1
name: nats
artifacts:
  nats-server:
    go: {package: ., toolchain: ` + toolchain + `}PLATFORMS
services:
  nats-server:
    artifact: nats-server
    runtime: process
    args: [--addr, 127.0.0.1, --port, "4222", --http_port, "8222", --jetstream, --store_dir, "{{.Volumes.data}}"]
    volumes: {data: /data}
    restart: {backoff: 1s..5m}
    selftest:
      - {http: "http://127.0.0.1:8222/healthz", status: 200, contains: ok, within: 60s}
      - {tcp: "127.0.0.1:4222", within: 60s}
      - {exec: [nats-server, --version], contains: "VERSION", within: 60s}
      - {log: "Server is ready", within: 60s}
    stable: 5s
`

// regression is the third version's only change: it passes every check for a second, then dies.
const regression = `package main

import "time"

func init() {
	go func() {
		time.Sleep(time.Second)
		panic("regression: the route table is nil")
	}()
}
`

func (d *demo) repository() string { return filepath.Join(d.dir, "nats") }

func (d *demo) makeRepository(ctx context.Context) error {
	repo := d.repository()
	if err := d.git(ctx, "init", "--quiet", "--initial-branch=main", repo); err != nil {
		return err
	}
	for _, v := range []struct{ tag, version string }{{"v1", version1}, {"v2", version2}} {
		if err := d.checkIn(ctx, v.version); err != nil {
			return err
		}
		if err := d.commit(ctx, v.tag, "nats-server "+v.version); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(repo, "regression.go"), []byte(regression), 0o644); err != nil {
		return err
	}
	return d.commit(ctx, "v3", "a change that nobody tested")
}

// checkIn replaces the repository's files by those of one version of the server.
func (d *demo) checkIn(ctx context.Context, version string) error {
	d.show.line("%s %s, through the Go module proxy", module, version)
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("download %s@%s: %w: %s", module, version, err, out)
	}
	var got struct{ Dir string }
	if err := json.Unmarshal(out, &got); err != nil {
		return err
	}
	repo := d.repository()
	old, err := os.ReadDir(repo)
	if err != nil {
		return err
	}
	for _, e := range old {
		if e.Name() != ".git" {
			if err := os.RemoveAll(filepath.Join(repo, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := copyTree(got.Dir, repo); err != nil {
		return err
	}
	platforms := ""
	if d.platforms != "" {
		platforms = "\n    platforms: [" + d.platforms + "]"
	}
	text := strings.NewReplacer("PLATFORMS", platforms, "VERSION", version).Replace(application)
	return os.WriteFile(filepath.Join(repo, "overland.yaml"), []byte(text), 0o644)
}

// copyTree copies the files of a module (which are read-only) so that they can be changed.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if e.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// commit records everything under a tag. Author and time are fixed, so
// every run makes the same commits.
func (d *demo) commit(ctx context.Context, tag, message string) error {
	repo := d.repository()
	if err := d.git(ctx, "-C", repo, "add", "--all", "--force"); err != nil {
		return err
	}
	if err := d.git(ctx, "-C", repo, "commit", "--quiet", "--message", message); err != nil {
		return err
	}
	return d.git(ctx, "-C", repo, "tag", tag)
}

func (d *demo) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=demo", "GIT_AUTHOR_EMAIL=demo@localhost", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=demo", "GIT_COMMITTER_EMAIL=demo@localhost", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
