package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"overland/internal/platform"
	"overland/internal/testkit/bins"
)

// What the agent may cost: it must cross a 4 KB/s link and live on a board with little memory.
const (
	maxSize   = 9_000_000 // bytes, stripped, on the largest platform
	maxPacked = 2_900_000 // bytes, xz -9e
	maxRSS    = 16 << 10  // KiB, idle
)

func TestAgentIsSmall(t *testing.T) {
	for _, plat := range platform.All() {
		path, err := builder.Build(t.Context(), bins.Agent, plat, "")
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxSize {
			t.Errorf("%s: %d bytes, at most %d", plat, info.Size(), maxSize)
		}
		t.Logf("%-13s %9d bytes", plat, info.Size())
	}
	const largest = platform.Platform("linux/amd64")
	path, err := builder.Build(t.Context(), bins.Agent, largest, "")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "xz", "-9e", "-k", "-c", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("xz (Debian package xz-utils): %v", err)
	}
	packed, err := io.Copy(io.Discard, out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s with xz -9e: %d bytes", largest, packed)
	if packed > maxPacked {
		t.Errorf("%s with xz -9e: %d bytes, at most %d", largest, packed, maxPacked)
	}
}

func TestAgentIdlesCheaply(t *testing.T) {
	const plat = platform.Platform("linux/amd64")
	agents := agentsFor(t, "", plat)
	s := newSite(t, plat)
	n := newNode(t, s)
	n.sh(0, "sh", s.seal(v1, agents), "install", "--root", s.root, "--channel", string(channel))
	st := n.status(0)
	supervisor := strings.TrimSpace(n.sh(0, "cat", st.Dir+"/agent/lock"))
	began := time.Now()
	before := n.ticks(strconv.Itoa(st.PID)) + n.ticks(supervisor)
	for range 5 { // something to do: a person who asks
		n.status(0)
	}
	agent, idle := n.rss(strconv.Itoa(st.PID)), n.rss(supervisor)
	used := n.ticks(strconv.Itoa(st.PID)) + n.ticks(supervisor) - before
	t.Logf("idle: agent %d KiB, supervisor %d KiB resident; %d ticks of CPU in %s", agent, idle, used, time.Since(began).Round(time.Millisecond))
	if agent > maxRSS || idle > maxRSS {
		t.Errorf("agent %d KiB, supervisor %d KiB; each at most %d", agent, idle, maxRSS)
	}
	if v := st.Program; v.Good == "" || v.Current != v.Good {
		t.Errorf("Program = %+v", v)
	}
}

// rss returns the resident memory of a process of the node in KiB.
func (n *node) rss(pid string) int {
	n.t.Helper()
	sc := bufio.NewScanner(strings.NewReader(n.sh(0, "cat", "/proc/"+pid+"/status")))
	for sc.Scan() {
		var kib int
		if _, err := fmt.Sscanf(sc.Text(), "VmRSS: %d kB", &kib); err == nil {
			return kib
		}
	}
	n.t.Fatalf("process %s has no VmRSS", pid)
	return 0
}

// ticks returns the CPU time that a process of the node has used, in clock ticks (10 ms).
func (n *node) ticks(pid string) int {
	n.t.Helper()
	text := n.sh(0, "cat", "/proc/"+pid+"/stat")
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		n.t.Fatal(err)
	}
	system, err := strconv.Atoi(fields[12])
	if err != nil {
		n.t.Fatal(err)
	}
	return user + system
}
