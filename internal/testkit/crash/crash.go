package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"overland/internal/fsx"
)

// Scenario is a story that changes one directory.
type Scenario struct {
	// Prepare makes the directory's first content. It runs before each point.
	Prepare func(t testing.TB, dir string)
	// Run is the story. All its changes go through f. An error that is not
	// the crash's own fails the test.
	Run func(dir string, f fsx.FS) error
	// Check looks at what is left, as the next process would. completed
	// says that Run came to its end.
	Check func(t testing.TB, dir string, completed bool)
}

// ErrStopped is what operations return from the point on at which Stop ends a scenario.
var ErrStopped = errors.New("stopped here")

const farthest = 20000 // points, so that a scenario that never completes fails

// points returns which points are tried: all, or as $OVERLAND_CRASH_POINTS says, I/N: of N that follow
// each other the I-th, counted from 0. The end of a scenario is always tried.
func points(t testing.TB) (first, step int64) {
	t.Helper()
	share := os.Getenv("OVERLAND_CRASH_POINTS")
	if share == "" {
		return 1, 1
	}
	if _, err := fmt.Sscanf(share, "%d/%d", &first, &step); err != nil || step < 1 || first < 0 || first >= step {
		t.Fatalf("OVERLAND_CRASH_POINTS=%q: I/N with I from 0 to N-1", share)
	}
	return first + 1, step
}

// Stop runs s once for each operation, in this process: from operation N on, none is
// done. It returns the points tried.
func Stop(t *testing.T, s Scenario) int {
	t.Helper()
	first, step := points(t)
	for n := first; n < farthest; n += step {
		dir := t.TempDir()
		s.Prepare(t, dir)
		var count atomic.Int64
		var at atomic.Pointer[fsx.Op]
		err := s.Run(dir, fsx.FS{Before: func(op fsx.Op) error {
			if c := count.Add(1); c >= n {
				if c == n {
					at.Store(&op)
				}
				return ErrStopped
			}
			return nil
		}})
		completed := count.Load() < n
		if completed && err != nil {
			t.Fatalf("the scenario itself: %v", err)
		}
		point(t, n, at.Load(), func(t testing.TB) { s.Check(t, dir, completed) })
		if completed {
			t.Logf("%d crash points, each %d. tried", n, step)
			return int(n)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the scenario does not end")
	return 0
}

// point runs check and says at which point it failed.
func point(t *testing.T, n int64, op *fsx.Op, check func(testing.TB)) {
	t.Helper()
	before := t.Failed()
	defer func() {
		if t.Failed() && !before {
			t.Logf("this was point %d, before %v", n, op)
		}
	}()
	check(t)
	if t.Failed() && !before {
		t.FailNow()
	}
}

const (
	envPoint = "OVERLAND_CRASH_POINT" // "TEST N DIR": the child's task
	doneMark = "crash: completed"
)

// Kill runs s once for each operation, in a process of its own that gets SIGKILL before
// operation N. It returns the points tried. The test that calls it must not do anything
// before that a child should not do.
func Kill(t *testing.T, s Scenario) int {
	t.Helper()
	if task := os.Getenv(envPoint); task != "" {
		child(t, s, task)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	first, step := points(t)
	for n := first; n < farthest; n += step {
		dir := t.TempDir()
		s.Prepare(t, dir)
		cmd := exec.Command(exe, "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
		cmd.Env = append(os.Environ(), envPoint+"="+t.Name()+" "+strconv.FormatInt(n, 10)+" "+dir)
		// A file, not a pipe: services that outlive the child keep it open.
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = out, out
		runErr := cmd.Run()
		text, err := os.ReadFile(out.Name())
		if err := errors.Join(err, out.Close()); err != nil {
			t.Fatal(err)
		}
		completed := strings.Contains(string(text), doneMark)
		if !completed && !killed(runErr) {
			t.Fatalf("point %d: the child ended by itself: %v\n%s", n, runErr, text)
		}
		point(t, n, &fsx.Op{Name: lastOp(string(text))}, func(t testing.TB) { s.Check(t, dir, completed) })
		if completed {
			t.Logf("%d kill points, each %d. tried", n, step)
			return int(n)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the scenario does not end")
	return 0
}

func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	s, ok := exit.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

func lastOp(text string) string {
	i := strings.LastIndex(text, "crash: at ")
	if i < 0 {
		return "?"
	}
	line, _, _ := strings.Cut(text[i:], "\n")
	return line
}

// child runs the scenario and never returns.
func child(t *testing.T, s Scenario, task string) {
	f := strings.SplitN(task, " ", 3)
	n, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || f[0] != t.Name() {
		t.Fatalf("child task %q", task)
	}
	var count atomic.Int64
	err = s.Run(f[2], fsx.FS{Before: func(op fsx.Op) error {
		if count.Add(1) == n {
			fmt.Fprintf(os.Stderr, "crash: at %s %s\n", op.Name, op.Path)
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				panic(err)
			}
			select {}
		}
		return nil
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(doneMark)
	os.Exit(0)
}
