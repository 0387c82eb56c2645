package follow_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/errs"
	"overland/internal/nodeapi"
)

// Sites that do not answer are asked less and less often, every 15 minutes in the end; one that does, as
// often as was asked for. A site stays the same one.
func TestSilentSitesAreAskedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failing, asks = 8, 12
		var mu sync.Mutex
		var times []time.Time
		var sources []stage.Source
		following(t, node.Settings{Sites: []string{"https://127.0.0.1:1#sha256:" + zeros}}, follow.Options{
			Poll: -1,
			Install: func(_ context.Context, src stage.Source) (nodeapi.Report, error) {
				mu.Lock()
				defer mu.Unlock()
				times, sources = append(times, time.Now()), append(sources, src)
				if len(times) <= failing {
					return nodeapi.Report{}, errs.Errorf(errs.Unavailable, "no route")
				}
				return nodeapi.Report{}, nil
			},
		})
		time.Sleep(3 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		if len(times) < asks {
			t.Fatalf("asked %d times", len(times))
		}
		for k, want := range []time.Duration{2, 4, 8, 15, 15, 15, 15, 15, 1, 1, 1} {
			want *= time.Minute
			if got := times[k+1].Sub(times[k]); got < want*3/4 || got > want*5/4 {
				t.Errorf("%v between %d and %d, want about %v", got, k, k+1, want)
			}
		}
		if slices.ContainsFunc(sources, func(s stage.Source) bool { return s != sources[0] }) {
			t.Error("a site is made anew for each look")
		}
	})
}

// Without sites there is nothing that does not answer: a new one is asked soon. What was wrong with one
// is forgotten with it.
func TestASiteThatIsNewIsAskedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		n := opened(t)
		following(t, node.Settings{}, follow.Options{Node: n, Install: func(context.Context, stage.Source) (nodeapi.Report, error) {
			asked.Add(1)
			return nodeapi.Report{}, nil
		}})
		follow := func(sites ...string) {
			t.Helper()
			if err := n.Follow(node.Settings{Sites: sites}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(80 * time.Second)
		}
		time.Sleep(3 * time.Hour)
		if follow("https://10.0.0.1"); len(n.Problems()) != 1 || !strings.Contains(n.Problems()[0], "10.0.0.1") {
			t.Errorf("a site without a pinned key: %q", n.Problems())
		}
		if follow("https://10.0.0.1"); len(n.Problems()) != 1 {
			t.Errorf("and at the next look: %q", n.Problems())
		}
		if follow("https://10.0.0.1#sha256:" + zeros); asked.Load() == 0 || len(n.Problems()) != 0 {
			t.Errorf("asked %d times, %q", asked.Load(), n.Problems())
		}
	})
}

// What a person says is read at once, and everything is looked at again.
func TestARousedLoopLooksAgain(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"oci-layout", "blobs/sha256/none", "trust/timestamp.json"} {
		put(t, filepath.Join(dir, name), "{}")
	}
	n, asked := opened(t), make(chan string, 100)
	f := following(t, node.Settings{Watch: []string{dir}}, follow.Options{
		Node: n, Poll: time.Hour, Watch: time.Millisecond,
		Install: func(_ context.Context, src stage.Source) (nodeapi.Report, error) {
			asked <- src.Name()
			return nodeapi.Report{}, nil
		},
	})
	first := <-asked
	put(t, filepath.Join(n.Dir(), node.ConfigName), `{"sites":["https://127.0.0.1:1#sha256:`+zeros+`"],"watch":["`+dir+`"]}`)
	f.Rouse()
	seen := map[string]bool{}
	for len(seen) < 2 {
		seen[<-asked] = true
	}
	if !seen[first] || !seen["site https://127.0.0.1:1"] {
		t.Errorf("%v", seen)
	}
}

// Why a node does not start stands in its status until it does; then what was never finished goes.
func TestAStartThatFailsIsTold(t *testing.T) {
	n := opened(t)
	left := filepath.Join(n.Dir(), "gen", "5.tmp")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int64
	looked := make(chan struct{}, 100)
	following(t, node.Settings{}, follow.Options{Node: n, Watch: time.Millisecond, Poll: time.Hour, Resume: func(context.Context) error {
		switch tries.Add(1) {
		case 1:
			return errors.New("no user")
		case 2:
			if list := n.Problems(); len(list) != 1 || list[0] != "no user" {
				t.Errorf("%q", list)
			}
		case 3: // the first look of the loop
			if list := n.Problems(); len(list) != 0 {
				t.Errorf("it runs: %q", list)
			}
			if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("what was never finished: %v", err)
			}
			looked <- struct{}{}
		}
		return nil
	}})
	<-looked
}

// While one is tried a second poll asks for something newer, and never a third.
func TestNoMoreThanTwoPolls(t *testing.T) {
	asked := make(chan struct{}, 100)
	following(t, node.Settings{Sites: []string{"https://127.0.0.1:1#sha256:" + zeros}}, follow.Options{
		Poll: time.Millisecond, Trying: func() bool { return true },
		Install: func(ctx context.Context, _ stage.Source) (nodeapi.Report, error) {
			asked <- struct{}{}
			<-ctx.Done()
			return nodeapi.Report{}, ctx.Err()
		},
	})
	<-asked
	<-asked
	select {
	case <-asked:
		t.Error("three at once")
	case <-time.After(30 * time.Millisecond):
	}
}

// What says nothing about a depot leaves it to be offered again.
func TestWhatIsUndecidedIsOfferedAgain(t *testing.T) {
	for kind, again := range map[errs.Kind]bool{errs.Internal: true, errs.Cancelled: true, errs.Unavailable: true, errs.Untrusted: false, errs.Invalid: false} {
		dir := t.TempDir()
		for _, name := range []string{"oci-layout", "blobs/sha256/none", "trust/timestamp.json"} {
			put(t, filepath.Join(dir, name), "{}")
		}
		var offered atomic.Int64
		w := newWatching(t, dir, func(n int64) error {
			offered.Store(n)
			if n < 2 {
				return errs.Errorf(kind, "not now")
			}
			return nil
		})
		w.after()
		if got := offered.Load() == 2; got != again {
			t.Errorf("%v: offered %d times", kind, offered.Load())
		}
	}
}
