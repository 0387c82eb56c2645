package follow_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"overland/internal/agent/follow"
	"overland/internal/agent/node"
	"overland/internal/agent/stage"
	"overland/internal/nodeapi"
)

// said is a log that may be read while it is written.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// Whatever somebody puts into a watched folder under the name of a volume: the loops go on, a depot
// beside it is looked at, the sites are asked, and each stranger is named in the log once.
func TestS13APipeInAWatchedFolderStopsNothing(t *testing.T) {
	dir, good := t.TempDir(), t.TempDir()
	strangers := map[string]string{
		"pipe": "a named pipe", "socket": "a socket", "device": "a link", "file": "a link", "loop": "a link", "folder": "open depot", "part": "a named pipe",
	}
	at := func(name string) string { return filepath.Join(dir, name+".volume") }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(syscall.Mkfifo(at("pipe"), 0o666))
	must(syscall.Mkfifo(at("part")+".001", 0o666))
	l, err := net.Listen("unix", at("socket"))
	must(err)
	defer l.Close()
	must(os.Symlink("/dev/zero", at("device")))
	must(os.Symlink("/etc/passwd", at("file")))
	must(os.Symlink(at("loop"), at("loop")))
	must(os.Mkdir(at("folder"), 0o755))
	for _, name := range []string{"oci-layout", "blobs/sha256/none", "trust/timestamp.json"} {
		put(t, filepath.Join(good, name), "{}")
	}
	var log said
	asked, offered := make(chan struct{}, 1000), make(chan struct{}, 1000)
	ticks := make(chan struct{})
	following(t, node.Settings{Watch: []string{dir, good}, Sites: []string{"https://127.0.0.1:1#sha256:" + zeros}}, follow.Options{
		Poll: time.Millisecond, Watch: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Resume: ticking(ticks),
		Install: func(_ context.Context, src stage.Source) (nodeapi.Report, error) {
			to := offered
			if strings.HasPrefix(src.Name(), "site ") {
				to = asked
			}
			select {
			case to <- struct{}{}:
			default:
			}
			return nodeapi.Report{Outcome: nodeapi.Unchanged}, nil
		},
	})
	wait := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nothing comes any more; the log says:\n%s", what, log.String())
		}
	}
	for range 10 {
		wait("the watched folders", ticks)
	}
	wait("the depot beside", offered)
	wait("the sites", asked)
	text := log.String()
	for name, why := range strangers {
		n := strings.Count(text, "source="+at(name))
		if n != 1 {
			t.Errorf("%s is named %d times", name, n)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, "source="+at(name)) && !strings.Contains(line, why) {
				t.Errorf("%s, which is %s: %s", name, why, line)
			}
		}
	}
}

// ticking returns a Resume that tells of each look at the watched folders.
func ticking(ticks chan<- struct{}) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case ticks <- struct{}{}:
		case <-ctx.Done():
		}
		return nil
	}
}

// A watched folder that never answers when it is listed (a network folder whose server is gone, FUSE)
// keeps the agent neither from the others nor from trying again to start what the node runs. It is asked
// once, named once, and looked at when it is back.
func TestS13AFolderThatHangsWhenItIsListed(t *testing.T) {
	below := t.TempDir()
	dead, good := filepath.Join(below, "a"), filepath.Join(below, "b")
	for _, dir := range []string{dead, good} {
		for _, name := range []string{"oci-layout", "blobs/sha256/none", "trust/timestamp.json"} {
			put(t, filepath.Join(dir, name), "{}")
		}
	}
	var log said
	var asked atomic.Int64
	back, ticks, offered := make(chan struct{}), make(chan struct{}), make(chan string, 100)
	following(t, node.Settings{Watch: []string{filepath.Join(below, "*")}}, follow.Silent(follow.Options{
		Poll: time.Hour, Watch: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Resume: ticking(ticks),
		Install: func(_ context.Context, src stage.Source) (nodeapi.Report, error) {
			offered <- src.Name()
			return nodeapi.Report{Outcome: nodeapi.Unchanged}, nil
		},
	}, dead, func() { asked.Add(1) }, back))
	wait := func(want string) {
		t.Helper()
		for {
			select {
			case <-ticks:
			case got := <-offered:
				if got != "directory "+want {
					t.Errorf("offered %s", got)
				}
				return
			case <-time.After(time.Minute):
				t.Fatalf("nothing comes any more; the log says:\n%s", log.String())
			}
		}
	}
	wait(good)
	for range 5 {
		<-ticks
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	if n := strings.Count(log.String(), "folder="+dead); n != 1 {
		t.Errorf("named %d times:\n%s", n, log.String())
	}
	close(back)
	wait(dead)
}

// A folder with very many volumes costs what a few hundred cost, and that is said once.
func TestS13AFullWatchedFolderIsBounded(t *testing.T) {
	dir := t.TempDir()
	const many = 400
	for i := range many {
		put(t, filepath.Join(dir, fmt.Sprintf("%d.volume", i)), "no")
		put(t, filepath.Join(dir, fmt.Sprintf("%d.txt", i)), "no")
	}
	bounded(t, dir, "more than 256 volumes")
}

// The folders that a pattern matches are bounded too: anybody may make some where it ends in one.
func TestS13FoldersOfAPatternAreBounded(t *testing.T) {
	dir := t.TempDir()
	const many = 300
	for i := range many {
		put(t, filepath.Join(dir, strconv.Itoa(i), "a.volume"), "no")
	}
	bounded(t, filepath.Join(dir, "*"), "more than 256 folders")
}

// bounded fails unless 256 files of the folders that pattern matches are looked at, and the log names
// the limit once.
func bounded(t *testing.T, pattern, limit string) {
	t.Helper()
	var log said
	ticks := make(chan struct{})
	following(t, node.Settings{Watch: []string{pattern}}, follow.Options{
		Poll: time.Hour, Watch: time.Millisecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Resume:  ticking(ticks),
		Install: func(context.Context, stage.Source) (nodeapi.Report, error) { return nodeapi.Report{}, nil },
	})
	for range 6 {
		<-ticks
	}
	text := log.String()
	if n := strings.Count(text, "source="); n != 256 {
		t.Errorf("%d files were looked at", n)
	}
	if n := strings.Count(text, limit); n != 1 {
		t.Errorf("the limit is named %d times", n)
	}
}

// A watched file whose read never returns does not keep the sites from being asked, and the loop
// ends when it is told to.
func TestS13AHangingSourceHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"oci-layout", "blobs/sha256/none", "trust/timestamp.json"} {
		put(t, filepath.Join(dir, name), "{}")
	}
	hanging, asked := make(chan struct{}), make(chan struct{}, 1000)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	following(t, node.Settings{Watch: []string{dir}, Sites: []string{"https://127.0.0.1:1#sha256:" + zeros}}, follow.Options{
		Poll: time.Millisecond, Watch: time.Millisecond,
		Install: func(ctx context.Context, src stage.Source) (nodeapi.Report, error) {
			if strings.HasPrefix(src.Name(), "directory ") {
				close(hanging)
				<-release
			}
			select {
			case asked <- struct{}{}:
			default:
			}
			return nodeapi.Report{}, nil
		},
	})
	<-hanging
	for range cap(asked) / 100 {
		select {
		case <-asked:
		case <-time.After(20 * time.Second):
			t.Fatal("the sites are not asked")
		}
	}
}
