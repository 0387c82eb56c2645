package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"overland/internal/nodeapi"
	"overland/internal/platform"
	"overland/internal/testkit/badlink"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/machine"
)

// serve runs the released site program on the loopback address until the
// test ends, and returns its URL.
func (s *site) serve() string {
	s.t.Helper()
	program, err := builder.Build(s.t.Context(), bins.Overland, "linux/amd64", "")
	if err != nil {
		s.t.Fatal(err)
	}
	home := filepath.Join(s.dir, "site")
	if out, err := exec.CommandContext(s.t.Context(), program, "site", "init", home).CombinedOutput(); err != nil {
		s.t.Fatalf("site init: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(s.t.Context(), program, "site", "run", home, "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stderr = s.t.Output()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatalf("the site printed no URL: %v", err)
	}
	return strings.TrimSpace(url)
}

// The released programs over a link that is cut, refuses and falls silent: the node has to finish,
// to move hardly more than what it needs, and to go on serving when the site is gone.
func TestOverABadLink(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	installed := agentsFor(t, "", plat)
	released := agentsFor(t, "v1", plat)
	s := newSite(t, plat)
	s.seal(v1, released)
	address, pin, ok := strings.Cut(strings.TrimPrefix(s.serve(), "https://"), "#")
	if !ok {
		t.Fatalf("no pin in %q", address)
	}
	link, err := badlink.Listen(badlink.To(address), badlink.Faults{CutEvery: 2_500_000, SilentAt: 4_000_000, Refuse: 0.3, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = link.Close() })

	n := startNode(t, s, machine.Options{HostNetwork: true, Writable: map[string]string{installed: "/opt"}})
	n.sh(0, "/opt/"+plat.Dashed()+"/overland-agent", "install", "--site", "https://"+link.Addr()+"#"+pin,
		"--root", s.root, "--channel", string(channel))
	n.mustServe(v1)
	n.until("the agent is the released one", func(st nodeapi.Status) bool {
		return st.Running && st.Agent == "v1" && st.Program.Trying == ""
	})

	needed := int64(1<<16) + s.bytes() // the 64 KiB: handshakes, and metadata that is asked for again
	counts := link.Counts()
	t.Logf("%+v, needed %d, ratio %.4f", counts, needed, float64(counts.Down)/float64(needed))
	if float64(counts.Down) > 1.02*float64(needed) {
		t.Errorf("moved %d bytes for %d", counts.Down, needed)
	}
	if counts.Cuts == 0 || counts.Refused == 0 || counts.Silences == 0 {
		t.Errorf("the link was too good: %+v", counts)
	}

	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
	n.mustServe(v1)
	n.agent(0, "uninstall", "--purge", "--yes")
}

// bytes returns what a node needs of the site: all its blobs are of one platform.
func (s *site) bytes() int64 {
	s.t.Helper()
	var sum int64
	for _, pattern := range []string{"depot/blobs/sha256/*", "trust/*.json"} {
		list, err := filepath.Glob(filepath.Join(s.dir, "site", pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, path := range list {
			info, err := os.Stat(path)
			if err != nil {
				s.t.Fatal(err)
			}
			sum += info.Size()
		}
	}
	return sum
}
