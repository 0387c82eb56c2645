package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"overland/internal/appfile"
	"overland/internal/operator"
	"overland/internal/platform"
	"overland/internal/release"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/publisher"
)

const (
	address = "127.0.0.1:8099"
	channel = release.Channel("live")
)

// site is an operator with one application, hello, whose versions and agents a test chooses.
type site struct {
	t    *testing.T
	dir  string
	root string // fingerprint
	plat platform.Platform

	tests []appfile.Check  // of hello; nil = that it answers
	user  string           // whose processes hello's are; "" = the agent's
	stop  appfile.Duration // what it may take to end; 0 = the usual
}

func newSite(t *testing.T, plat platform.Platform) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), plat: plat}
	repo, err := s.open("").InitTrust(t.Context(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.root = string(repo.Fingerprint())
	return s
}

func (s *site) open(agents string) *operator.Operator {
	s.t.Helper()
	p, err := operator.Open(filepath.Join(s.dir, "site"), operator.Options{Agents: agents, Make: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// seal releases hello in a version, with extra arguments, and returns a volume with it
// and the agents in folder agents.
func (s *site) seal(version, agents string, args ...string) string {
	s.t.Helper()
	ctx := s.t.Context()
	p := s.open(agents)
	path, err := builder.Build(ctx, bins.Hello, s.plat, "")
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	d, size, err := p.Depot().Put(ctx, io.Reader(f), "", -1)
	if err != nil {
		s.t.Fatal(err)
	}
	tests := s.tests
	if tests == nil {
		tests = []appfile.Check{{HTTP: "http://" + address + "/", Contains: "version {{.Release.Version}}", Within: appfile.Duration(patience(s.plat, 3*time.Second))}}
	}
	r := release.Release{
		App: "hello", Version: version,
		Artifacts: []release.Artifact{{
			Name: "hello", Platform: s.plat, File: "hello", Kind: release.KindBinary,
			Blob: release.Blob{Digest: d, Size: size},
		}},
		Services: map[string]appfile.Service{"web": {
			Artifact: "hello", Runtime: "process",
			Args:     append([]string{"--listen", address, "--version", "{{.Release.Version}}"}, args...),
			Data:     map[string]string{"data": "/data"},
			SelfTest: tests,
			User:     s.user,
			Stable:   appfile.Duration(100 * time.Millisecond), StopTimeout: s.stop,
		}},
	}
	desc, err := release.Write(ctx, p.Depot(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	repo, err := p.Repository(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := release.Publish(ctx, repo, p.Depot(), release.Draft{Ref: r.Ref(), Index: desc}, release.Origin{Repository: publisher.Repository}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := release.Promote(ctx, repo, r.Ref(), channel, false); err != nil {
		s.t.Fatal(err)
	}
	out := filepath.Join(s.dir, version+".volume")
	if _, err := p.Seal(ctx, operator.SealOptions{Channel: channel, Out: out}); err != nil {
		s.t.Fatal(err)
	}
	return "/mnt/" + filepath.Base(out)
}

// agentsFor returns the folder with the agent for plat, built once in each version.
func agentsFor(t *testing.T, version string, plat platform.Platform) string {
	t.Helper()
	dir, err := builder.Agents(t.Context(), version, plat)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// patience is d, longer where qemu does the work.
func patience(p platform.Platform, d time.Duration) time.Duration {
	if p != "linux/amd64" {
		return 4 * d
	}
	return d
}
