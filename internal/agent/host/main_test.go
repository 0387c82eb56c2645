package host_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/agent/host"
)

// superviseEnv makes this test program a supervisor: a supervisor owns all children of its process,
// so it gets a process of its own.
const superviseEnv = "OVERLAND_TEST_SUPERVISE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(superviseEnv); dir != "" {
		os.Unsetenv(superviseEnv)
		os.Exit(superviseMain(dir))
	}
	goleak.VerifyTestMain(m)
}

func superviseMain(dir string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	s := host.Supervisor{
		Slots:   host.Slots{Dir: dir},
		Args:    []string{"run"},
		MinWait: time.Millisecond,
		MaxWait: 50 * time.Millisecond,
		// Some of the agents here ignore SIGTERM on purpose.
		StopTimeout: 4 * time.Second,
		Silence:     2 * time.Second,
		Log:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if err := s.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "supervisor:", err)
		return 1
	}
	fmt.Fprintln(os.Stderr, "supervisor: done")
	return 0
}
