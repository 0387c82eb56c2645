package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"overland/internal/digest"
	"overland/internal/lockfile"
	"overland/internal/testkit/bins"
	"overland/internal/testkit/crash"
)

// bench is an origin of files, a folder with a script that fetches them, and the released program.
type bench struct {
	t       *testing.T
	program string
	dir     string
	origin  *httptest.Server
	size    int

	mu    sync.Mutex
	asked map[string]int
}

// newBench has n files of size bytes, of which the last two are pinned.
func newBench(t *testing.T, n, size int) *bench {
	t.Helper()
	program, err := builder.Build(t.Context(), bins.Overland, "linux/amd64", "")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, program: program, dir: t.TempDir(), size: size, asked: map[string]int{}}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.2:0") // no proxy is used for 127.0.0.1
	if err != nil {
		t.Fatal(err)
	}
	b.origin = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.asked[r.URL.Path]++
		b.mu.Unlock()
		w.Header().Set("Content-Length", strconv.Itoa(size))
		_, _ = w.Write(b.content(r.URL.Path))
	}))
	b.origin.Listener.Close()
	b.origin.Listener = l
	b.origin.Start()
	t.Cleanup(b.origin.Close)
	script, pins := "set -e\n", ""
	for i := range n {
		path := fmt.Sprintf("/file%d", i)
		script += "curl -fsS -o /dev/null " + b.origin.URL + path + "\n"
		if i >= n-2 {
			pins += digest.Of(b.content(path)).Encoded() + "  " + b.origin.URL + path + "\n"
		}
	}
	for _, tool := range []string{"sh", "curl"} { // and no go, npm or apt-get, which would be asked for their settings
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll(b.tools(), 0o755), os.Symlink(path, filepath.Join(b.tools(), tool))); err != nil {
			t.Fatal(err)
		}
	}
	b.write("fetch.sh", script)
	b.write("overland.pins", pins)
	return b
}

func (b *bench) tools() string { return filepath.Join(b.dir, "bin") }

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) content(path string) []byte {
	c := make([]byte, b.size)
	_, _ = rand.NewChaCha8([32]byte(append([]byte(path), make([]byte, 32)...))).Read(c)
	return c
}

// times returns how often each file was asked for since the last call.
func (b *bench) times() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	asked := b.asked
	b.asked = map[string]int{}
	return asked
}

// command is overland, with its site directory in home.
func (b *bench) command(home string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.t.Context(), b.program, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "OVERLAND_HOME="+home, "HOME="+b.dir, "PATH="+b.tools())
	return cmd
}

func (b *bench) record(home string) *exec.Cmd {
	return b.command(home, "record", "--", "sh", "fetch.sh")
}

// lock returns the lock, which is whole or not there.
func (b *bench) lock() string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, "overland.lock"))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	if err == nil {
		_, err = lockfile.Parse(bytes.NewReader(text), 0)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// whole returns how many blobs the depot of home has, all of which must be what they are called.
func (b *bench) whole(home string) int {
	b.t.Helper()
	list, err := os.ReadDir(filepath.Join(home, "depot", "blobs", "sha256"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	for _, e := range list {
		text, err := os.ReadFile(filepath.Join(home, "depot", "blobs", "sha256", e.Name()))
		if err != nil || digest.Of(text).Encoded() != e.Name() {
			b.t.Errorf("a blob called %s has %d other bytes, %v", e.Name(), len(text), err)
		}
	}
	return len(list)
}

// Killed before any change of the disk, a recording leaves whole blobs and the old lock or the new
// one; run again it comes to its end, and asks for nothing that is locked.
func TestKillRecord(t *testing.T) {
	const files, points, last = 4, 24, 8
	b := newBench(t, files, 100_000)
	first := strings.SplitAfter(b.script(), "\n")
	b.write("fetch.sh", strings.Join(first[:2], "")) // one file is locked before
	home := filepath.Join(b.dir, "home")
	if out, err := b.record(home).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	old := b.lock()
	b.write("fetch.sh", strings.Join(first, ""))
	changes, _ := crash.Program(t, b.record(b.copyOf(home)), 0)
	complete := b.lock()
	if old == "" || complete == old || changes < points {
		t.Fatalf("%d changes; %s%s", changes, old, complete)
	}
	seen, resumed := map[string]int{}, 0
	for i := range points {
		b.write("overland.lock", old)
		again := b.copyOf(home)
		n := 1 + i*changes/points
		if rest := points - i; rest <= last {
			n = changes - rest + 1 // the lock is written last
		}
		_, killed := crash.Program(t, b.record(again), n)
		lock := b.lock()
		if b.whole(again); lock != old && lock != complete || !killed && lock != complete {
			t.Errorf("killed %v before change %d: the lock is\n%s", killed, n, lock)
		}
		seen[lock]++
		b.times() // forget
		if out, err := b.record(again).CombinedOutput(); err != nil {
			t.Fatalf("again, after change %d: %v\n%s", n, err, out)
		}
		asked := b.times()
		if b.lock() != complete || b.whole(again) != files || asked["/file0"] != 0 {
			t.Errorf("again, after change %d: %d blobs, asked %v\n%s", n, b.whole(again), asked, b.lock())
		}
		if lock == old && asked["/file2"] == 0 {
			resumed++
		}
	}
	t.Logf("%d of %d points tried: the old lock %d times, of which %d went on with what was proved; the new one %d times",
		points, changes, seen[old], resumed, seen[complete])
	if resumed < last/2 {
		t.Errorf("%d recordings went on with what was proved", resumed)
	}
}

// On a disk that is too small a recording says so, keeps what is whole and the lock
// as it was; with room it goes on.
func TestRecordOnAFullDisk(t *testing.T) {
	const reserve, mib = 16 << 20, 1 << 20 // what a depot leaves free
	for what, c := range map[string]struct{ size, disk int64 }{
		"no room in the depot":      {mib, reserve + 3*mib},
		"while it is being fetched": {24 * mib, reserve + mib},
	} {
		t.Run(what, func(t *testing.T) {
			const files = 4
			b := newBench(t, files, int(c.size))
			disk, resize := crash.SmallDisk(t, c.disk)
			home := filepath.Join(disk, "home")
			out, err := b.record(home).CombinedOutput()
			if err == nil || b.lock() != "" || b.whole(home) == files || !bytes.Contains(out, []byte("warning: ")) {
				t.Fatalf("%v\n%s", err, out)
			}
			if !bytes.Contains(out, []byte("bytes free")) && !bytes.Contains(out, []byte("no space left on device")) {
				t.Errorf("it does not say why:\n%s", out)
			}
			resize(c.disk + 2*files*c.size)
			if out, err := b.record(home).CombinedOutput(); err != nil || b.whole(home) != files || b.lock() == "" {
				t.Errorf("with room: %v\n%s", err, out)
			}
		})
	}
}

func (b *bench) script() string {
	text, err := os.ReadFile(filepath.Join(b.dir, "fetch.sh"))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// copyOf returns a copy of the folder dir.
func (b *bench) copyOf(dir string) string {
	b.t.Helper()
	to := filepath.Join(b.t.TempDir(), "home")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		b.t.Fatal(err)
	}
	return to
}
