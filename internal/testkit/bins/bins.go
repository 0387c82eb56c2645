package bins

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"overland/internal/platform"
)

// The programs, as package paths.
const (
	Agent    = "overland/cmd/overland-agent"
	Overland = "overland/cmd/overland"
	Hello    = "overland/internal/testkit/hello"
	Again    = "overland/internal/testkit/again"
)

// Tags are the build tags of every released program; the agent has AgentTags.
const (
	Tags      = "netgo,osusergo"
	AgentTags = Tags + ",nethttpomithttp2"
)

// agentGC is the Makefile's AGENTGC: neither our own functions nor those of dependencies are inlined, 130 KB less.
func agentGC() []string { return []string{"-gcflags=overland/...=-l", "-gcflags=github.com/...=-l"} }

// Builder builds into a directory of its own. It is safe for concurrent use.
type Builder struct {
	Dir string // where programs go; the caller removes it

	mu   sync.Mutex
	made map[string]*built
}

type built struct {
	once sync.Once
	path string
	err  error
}

// Build returns the path of program pkg for platform p, exactly as it is released. A version that
// is not "" is compiled into the agent, so that two versions have different digests.
func (b *Builder) Build(ctx context.Context, pkg string, p platform.Platform, version string) (string, error) {
	key := filepath.Base(pkg) + "-" + p.Dashed() + version
	b.mu.Lock()
	if b.made == nil {
		b.made = make(map[string]*built)
	}
	m := b.made[key]
	if m == nil {
		m = &built{}
		b.made[key] = m
	}
	b.mu.Unlock()
	m.once.Do(func() {
		m.path = filepath.Join(b.Dir, key)
		m.err = compile(ctx, pkg, p, version, m.path)
	})
	return m.path, m.err
}

func compile(ctx context.Context, pkg string, p platform.Platform, version, path string) error {
	tags, flags, gc := Tags, "-s -w -buildid=", []string(nil)
	if pkg == Agent {
		tags, gc = AgentTags, agentGC()
		if version != "" {
			flags += " -X overland/internal/cli/nodecli.programVersion=" + version
		}
	}
	cmd := exec.CommandContext(ctx, "go", slices.Concat([]string{"build", "-trimpath", "-buildvcs=false", "-tags", tags}, gc, []string{"-ldflags", flags, "-o", path, pkg})...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="), p.GoEnv()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for %s: %w\n%s", pkg, p, err, out)
	}
	return nil
}

// Agents lays out the agents of platforms as `overland --agents DIR` wants them, and returns DIR.
func (b *Builder) Agents(ctx context.Context, version string, platforms ...platform.Platform) (string, error) {
	dir := filepath.Join(b.Dir, "agents"+version+strings.Join(dashed(platforms), "+"))
	for _, p := range platforms {
		path, err := b.Build(ctx, Agent, p, version)
		if err != nil {
			return "", err
		}
		if err := os.MkdirAll(filepath.Join(dir, p.Dashed()), 0o755); err != nil {
			return "", err
		}
		to := filepath.Join(dir, p.Dashed(), filepath.Base(Agent))
		if err := os.Link(path, to); err != nil && !os.IsExist(err) {
			return "", err
		}
	}
	return dir, nil
}

func dashed(list []platform.Platform) []string {
	var names []string
	for _, p := range list {
		names = append(names, p.Dashed())
	}
	return names
}
