package procgroup_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"overland/internal/procgroup"
)

// A grandchild ends with the context, and its end closes what it holds.
func TestAllThatItStartedEndsWithIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := procgroup.Command(ctx, time.Minute, []string{"PATH=" + os.Getenv("PATH")}, "sh", "-c", "(echo ready; exec sleep 1000) & wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	cancel()
	if rest, err := io.ReadAll(r); len(rest) != 0 || err != nil { // hangs while the grandchild lives
		t.Errorf("%q, %v", rest, err)
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("ended with %v", err)
	}
}

// What has left the group holds nobody up for longer than was said.
func TestWhoLeftTheGroupIsNotWaitedFor(t *testing.T) {
	out, err := procgroup.Command(t.Context(), time.Millisecond, []string{"PATH=" + os.Getenv("PATH")}, "setsid", "--fork", "sh", "-c", "echo $$; exec sleep 1000").Output()
	var pid int
	for _, c := range out {
		if c >= '0' && c <= '9' {
			pid = 10*pid + int(c-'0')
		}
	}
	if pid > 1 {
		defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Errorf("ended with %v", err)
	}
}
