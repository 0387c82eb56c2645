package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"overland/internal/testkit/machine"
)

// cost is what one command took, as the kernel counts it: user and system
// time, and the largest resident set.
type cost struct {
	cpu  time.Duration
	rss  int64 // bytes
	wall time.Duration
}

// measure runs cmd to its end, or to that of its context. Its output is shown only when it fails: a Go program that is ended
// says there where each goroutine waits.
func measure(cmd *exec.Cmd) (cost, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Minute // for what it says at its end, and what it left behind may hold its output open
	if cmd.Cancel != nil {
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	}
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return cost{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.Bytes())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, fmt.Errorf("no resource usage of %s", cmd.Path)
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return cost{cpu: cpu, rss: usage.Maxrss << 10, wall: time.Since(began)}, nil
}

// everything returns the CPU time that all processes of m have used so far, and the largest
// resident set that one of those whose command line holds name ever had.
func everything(ctx context.Context, m *machine.Machine, name string) (cost, error) {
	script := `for p in /proc/[0-9]*; do echo "stat $(cat $p/stat)"; tr '\0' ' ' <$p/cmdline; echo; cat $p/status; done 2>/dev/null`
	out, err := m.Run(ctx, "sh", "-c", script)
	if err != nil {
		return cost{}, fmt.Errorf("read processes: %w: %s", err, out)
	}
	var c cost
	ticks, err := clockTicks(ctx)
	if err != nil {
		return c, err
	}
	for block := range strings.SplitSeq(out, "stat ") {
		lines := strings.SplitN(block, "\n", 2)
		_, fields, ok := strings.Cut(lines[0], ") ")
		if !ok || len(lines) < 2 {
			continue
		}
		// Fields 14 to 17 of proc(5): utime, stime, cutime, cstime; the state after ") " is field
		// 3.
		f := strings.Fields(fields)
		for i := 11; i <= 14 && i < len(f); i++ {
			n, err := strconv.ParseInt(f[i], 10, 64)
			if err != nil {
				return c, err
			}
			c.cpu += time.Duration(n) * time.Second / time.Duration(ticks)
		}
		if command, _, _ := strings.Cut(lines[1], "\n"); !strings.Contains(command, name) {
			continue
		}
		for line := range strings.Lines(lines[1]) {
			if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
				if err != nil {
					return c, err
				}
				c.rss = max(c.rss, kb<<10)
			}
		}
	}
	return c, nil
}

func clockTicks(ctx context.Context) (int64, error) {
	out, err := exec.CommandContext(ctx, "getconf", "CLK_TCK").Output()
	if err != nil {
		return 0, fmt.Errorf("getconf CLK_TCK: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func (b *bench) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.overland, args...)
	cmd.Env = append(os.Environ(), "OVERLAND_HOME="+b.home(), "OVERLAND_AGENTS="+b.agents)
	return cmd
}
