package follow_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/fetch"
	"overland/internal/nodeapi"
	"overland/internal/store/mem"
)

// The sites are asked in order until one has an answer: one that cannot be reached or is refused is
// passed over. Each may be asked for what is new, and the one fetcher knows all of them.
func TestSitesAreAskedInOrder(t *testing.T) {
	const one, two, three = "https://127.0.0.1:1", "https://127.0.0.1:2", "https://127.0.0.1:3"
	var sites []string
	for _, s := range []string{one, two, three} {
		sites = append(sites, s+"#sha256:"+zeros)
	}
	for _, kind := range []errs.Kind{errs.Unavailable, errs.Untrusted} {
		fetcher := fetch.New(&mem.Store{}, fetch.Options{Attempts: 1})
		asked := make(chan string)
		following(t, node.Settings{Sites: sites}, follow.Options{
			Poll: time.Millisecond, Fetcher: fetcher,
			Install: func(ctx context.Context, src stage.Source) (nodeapi.Report, error) {
				select {
				case asked <- strings.TrimPrefix(src.Name(), "site "):
				case <-ctx.Done():
					return nodeapi.Report{}, ctx.Err()
				}
				if l, ok := src.(interface{ Live() bool }); !ok || !l.Live() {
					t.Errorf("%s cannot be asked for what is new", src.Name())
				}
				if f, ok := src.(interface{ Fetcher() *fetch.Fetcher }); !ok || f.Fetcher() != fetcher {
					t.Errorf("%s has another fetcher", src.Name())
				}
				if strings.Contains(src.Name(), one) {
					return nodeapi.Report{}, errs.Errorf(kind, "not now")
				}
				return nodeapi.Report{}, nil
			},
		})
		for _, want := range []string{one, two, one, two} {
			if got := <-asked; got != want {
				t.Errorf("%v: asked %s, want %s", kind, got, want)
			}
		}
		err := fetcher.Fetch(t.Context(), fetch.Blob{Digest: digest.Of([]byte("x")), Size: 1})
		for _, s := range []string{one, two, three} {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("the fetcher does not ask %s: %v", s, err)
			}
		}
	}
}

// watching is a Follower of the directory dir, whose looks are counted.
type watching struct {
	looks atomic.Int64
	ticks chan struct{}
}

func newWatching(t *testing.T, dir string, install func(n int64) error) *watching {
	t.Helper()
	w := &watching{ticks: make(chan struct{})}
	var offered atomic.Int64
	following(t, node.Settings{Watch: []string{dir}}, follow.Options{
		Poll: time.Hour, Watch: time.Millisecond,
		Clock:  func() time.Time { w.looks.Add(1); return time.Now() },
		Resume: ticking(w.ticks),
		Install: func(context.Context, stage.Source) (nodeapi.Report, error) {
			return nodeapi.Report{}, install(offered.Add(1))
		},
	})
	return w
}

// after returns how many looks there were after some more ticks than two looks need.
func (w *watching) after() int64 {
	for range 8 {
		<-w.ticks
	}
	return w.looks.Load()
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A volume is opened once as it is; another part of it makes it another one.
func TestAVolumeIsLookedAtOnce(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.volume.001"), "not a volume")
	w := newWatching(t, dir, func(int64) error { return nil })
	if n := w.after(); n != 1 {
		t.Errorf("looked at %d times", n)
	}
	put(t, filepath.Join(dir, "a.volume.002"), "nor a part of one")
	if n := w.after(); n != 2 {
		t.Errorf("with another part looked at %d times", n)
	}
}

// What could not be decided, because something was out of reach, is offered
// again; what was decided is not.
func TestADepotIsOfferedUntilItIsDecided(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"oci-layout", "blobs/sha256/none", "trust/timestamp.json"} {
		put(t, filepath.Join(dir, name), "{}")
	}
	w := newWatching(t, dir, func(n int64) error {
		if n < 2 {
			return errs.Errorf(errs.Unavailable, "not now")
		}
		return nil
	})
	if n := w.after(); n != 2 {
		t.Errorf("offered %d times", n)
	}
}

// What a site brought may be tried for an hour. It is asked for something newer meanwhile, once at
// a time; while nothing is tried, a poll that takes long is the only one.
func TestS15ASiteIsAskedWhileItsReleaseIsTried(t *testing.T) {
	var trying, polls atomic.Int64
	asked := make(chan int64, 100)
	following(t, node.Settings{Sites: []string{"https://127.0.0.1:1#sha256:" + zeros}}, follow.Options{
		Poll: time.Millisecond, Trying: func() bool { return trying.Load() > 0 },
		Install: func(ctx context.Context, _ stage.Source) (nodeapi.Report, error) {
			n := polls.Add(1)
			defer polls.Add(-1)
			asked <- n
			if n == 1 {
				<-ctx.Done() // it is being tried
			}
			return nodeapi.Report{Outcome: nodeapi.Unchanged}, ctx.Err()
		},
	})
	<-asked
	select {
	case <-asked:
		t.Error("asked twice at once")
	case <-time.After(50 * time.Millisecond):
	}
	trying.Store(1)
	for range 10 {
		if n := <-asked; n != 2 {
			t.Errorf("%d polls at once", n)
		}
	}
}
