package follow_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/nodeapi"
	"overland/internal/store/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opened returns a node of its own.
func opened(t *testing.T) *node.Node {
	t.Helper()
	n, err := node.Open(filepath.Join(t.TempDir(), "node"), node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// following runs a Follower of a node with these settings until the test ends.
func following(t *testing.T, s node.Settings, o follow.Options) *follow.Follower {
	t.Helper()
	if o.Node == nil {
		o.Node = opened(t)
	}
	if err := o.Node.Follow(s); err != nil {
		t.Fatal(err)
	}
	if o.Fetcher == nil {
		o.Fetcher = fetch.New(&mem.Store{}, fetch.Options{})
	}
	if o.Resume == nil {
		o.Resume = func(context.Context) error { return nil }
	}
	f := follow.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	})
	return f
}

// A look that the agent itself ended says nothing about the source: the
// outcome of the one before stays.
func TestAnInterruptedLookIsNotTold(t *testing.T) {
	answers := []error{errs.Errorf(errs.Unavailable, "no route"), errs.Errorf(errs.Cancelled, "a person came"), nil}
	asked := make(chan int, len(answers))
	n := 0
	release := make(chan struct{})
	f := following(t, node.Settings{Sites: []string{"https://127.0.0.1:1#sha256:" + zeros}}, follow.Options{
		Poll: time.Millisecond,
		Install: func(ctx context.Context, _ stage.Source) (nodeapi.Report, error) {
			if n >= len(answers) {
				<-ctx.Done()
				return nodeapi.Report{}, ctx.Err()
			}
			asked <- n
			select {
			case <-release:
			case <-ctx.Done():
			}
			n++
			return nodeapi.Report{Outcome: nodeapi.Unchanged}, answers[n-1]
		},
	})
	next := func(want int) {
		t.Helper()
		if got := <-asked; got != want {
			t.Fatalf("look %d, want %d", got, want)
		}
	}
	next(0)
	if f.Last() != nil {
		t.Errorf("a look that is not over: %+v", f.Last())
	}
	release <- struct{}{}
	next(1)
	first := f.Last()
	if first == nil || first.Error != "no route" {
		t.Errorf("after one that failed: %+v", first)
	}
	release <- struct{}{}
	next(2)
	if f.Last() != first {
		t.Errorf("after one that was interrupted: %+v", f.Last())
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// Nothing ends the loop: neither a node that cannot start its services, nor
// a site whose address is wrong.
func TestTheLoopGoesOn(t *testing.T) {
	calls := make(chan struct{}, 100)
	resumed := make(chan struct{})
	tries := 0
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "broken.volume"), []byte("not a volume"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := following(t, node.Settings{Watch: []string{dir}}, follow.Options{
		Poll: time.Millisecond, Watch: time.Millisecond,
		Resume: func(context.Context) error {
			if tries++; tries < 3 {
				return errors.New("no user")
			}
			calls <- struct{}{}
			return nil
		},
		Resumed: func() { close(resumed) },
		Install: func(context.Context, stage.Source) (nodeapi.Report, error) {
			t.Error("a broken volume was offered")
			return nodeapi.Report{}, nil
		},
	})
	<-resumed
	for f.Last() == nil {
		<-calls
	}
	if f.Last().Error == "" || filepath.Base(f.Last().Source) != "broken.volume" {
		t.Errorf("last look: %+v", f.Last())
	}
}

func TestOpenSource(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := follow.OpenSource(filepath.Join(dir, "none.volume")); errs.KindOf(err) != errs.NotFound {
		t.Errorf("what is not there: %v", err)
	}
	if _, _, err := follow.OpenSource("https://10.0.0.1"); err == nil {
		t.Error("a site without a pinned key was opened")
	}
	src, done, err := follow.OpenSource("https://10.0.0.1:8443#sha256:" + zeros)
	if err != nil {
		t.Fatal(err)
	}
	if src.Name() == "" || done() != nil {
		t.Errorf("site %q", src.Name())
	}
}
