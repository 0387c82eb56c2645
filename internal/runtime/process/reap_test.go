package process_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"overland/internal/runtime/process"
)

var noDeadline time.Time

func testCommand(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), quickExit, roleVar+"="+role)
	return cmd
}

// collected tells a channel of each zombie that Reap collects.
type collected struct {
	slog.Handler
	c chan struct{}
}

func (h collected) Enabled(context.Context, slog.Level) bool { return true }

func (h collected) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "zombie collected") {
		h.c <- struct{}{}
	}
	return nil
}

// reaper plays a process 1: somebody leaves an orphan to it, and it has a service and children of its own.
func reaper(dir string) {
	if err := process.Subreaper(); err != nil {
		panic(err)
	}
	seen := collected{slog.DiscardHandler, make(chan struct{})}
	r := process.New(process.Options{Log: slog.New(seen)})
	r.SetZombieAge(300 * time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Reap(ctx) }()

	i := instance("orphaner "+bare, dir, "orphaner")
	p, err := r.Start(ctx, i)
	if err != nil {
		panic(err)
	}
	<-p.Done()
	exit := p.Exit()
	exit.Left = false // its child may take a moment to end
	fmt.Println("service:", exit)

	orphaner := exec.Command(i.Program)
	orphaner.Env = append(i.Env, "OVERLAND_TEST_FIFO=/dev/null")
	if err := orphaner.Run(); err != nil {
		panic(err)
	}

	i = instance("exec", dir, "exit=5")
	e, err := r.Exec(ctx, i, []string{i.Program}, &bytes.Buffer{})
	if err != nil {
		panic(err)
	}
	fmt.Println("exec:", e)

	waited := exec.Command("/proc/self/exe")
	waited.Env = append(os.Environ(), quickExit, roleVar+"=exit=6")
	fmt.Println("waited late:", waited.Run())

	<-seen.c
	fmt.Println("orphan collected")
	cancel()
	if err := <-ended; err != nil {
		panic(err)
	}
}
