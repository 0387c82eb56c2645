package site

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overland/internal/digest"
	"overland/internal/testkit/badlink"
)

const (
	clients = 10_000 // more than a site's listener holds, and more than wait in the kernel for it
	tries   = 5
)

const (
	childUpstream = "OVERLAND_SITE_CHILD_UPSTREAM"
	childGo       = "OVERLAND_SITE_CHILD_GO"
	childPath     = "OVERLAND_SITE_CHILD_PATH"
)

// childNear is a near site with a cache, in a process of its own.
func childNear() error {
	faces := make(chan string, 1)
	return Run(context.Background(), os.Getenv(childDir), Options{
		Listen: "127.0.0.1:0", Upstreams: []string{os.Getenv(childUpstream)},
		Cache: CacheOptions{
			Listen: "127.0.0.1:0", Upstreams: map[string][]string{"go": {os.Getenv(childGo)}}, Ready: func(a string) { faces <- a },
		},
		Ready: func(addr string) { fmt.Println("ready", addr, <-faces) },
	})
}

// childFlood asks for one path with many clients at once, each on a connection of its own
// that it keeps until all have their answers. It prints how many are connected, and at
// the end how many got the blob.
func childFlood() error {
	var connected, right atomic.Int64
	var wg, answered sync.WaitGroup
	end := make(chan struct{})
	for range clients {
		answered.Add(1)
		wg.Go(func() {
			done := sync.OnceFunc(answered.Done)
			defer done()
			err := floodOne(&connected, end, done)
			for range tries { // as a node does
				if err == nil {
					break
				}
				fmt.Println("again:", err)
				err = floodOne(&connected, end, done)
			}
			if err != nil {
				fmt.Println("failed:", err)
				return
			}
			right.Add(1)
		})
	}
	answered.Wait()
	close(end)
	wg.Wait()
	fmt.Println("right", right.Load())
	return nil
}

func floodOne(connected *atomic.Int64, end <-chan struct{}, answered func()) error {
	addr := os.Getenv(childAddr)
	conn, err := (&net.Dialer{Timeout: 5 * time.Minute}).Dial("tcp", strings.TrimPrefix(addr, "https://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return err
	}
	if n := connected.Add(1); n%1000 == 0 {
		fmt.Println("connected", n)
	}
	if strings.HasPrefix(addr, "https://") {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", os.Getenv(childPath)); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 4096), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	h := digest.New()
	if _, err := io.Copy(h, resp.Body); err != nil {
		return err
	}
	if want := os.Getenv(childBlob); resp.StatusCode != http.StatusOK || string(h.Digest()) != want {
		return fmt.Errorf("status %d, %s in place of %s", resp.StatusCode, h.Digest(), want)
	}
	answered()
	<-end
	return nil
}

// plain returns this test binary without the race detector, which makes of
// ten thousand handshakes minutes.
func plain(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// process starts the test binary at path in a role and returns the lines that it prints.
func process(t *testing.T, path, role string, env ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Env = append(append(os.Environ(), childRole+"="+role, "GOSUMDB=off"), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // killed
	})
	return bufio.NewScanner(out)
}

// Ten thousand clients that ask for one thing at once cause one transfer from upstream, and all of
// them are answered: nodes for a blob, tools for a module.
func TestTenThousandClients(t *testing.T) {
	program := plain(t)
	body := random(32 << 10)
	for name, c := range map[string]struct {
		path string
		tls  bool
	}{
		"nodes": {"/v1/blobs/" + string(digest.Of(body)), true},
		"tools": {"/go/example.org/x/@v/v1.0.0.mod", false},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			far, mods := originOf(t, body), newProxy(t)
			mods.mods["/example.org/x/@v/v1.0.0.mod"] = string(body)
			held := func(to string) string { // a way to upstream that opens with release
				return linkTo(t, func(ctx context.Context) (net.Conn, error) {
					<-release
					return new(net.Dialer).DialContext(ctx, "tcp", to)
				}, badlink.Faults{}).Addr()
			}
			upstream := far.URL(far.Addr())
			if c.tls {
				upstream = far.URL(held(far.Addr()))
			}
			near := process(t, program, "near", childDir+"="+newSite(t), childUpstream+"="+upstream,
				childGo+"=http://"+held(strings.TrimPrefix(mods.URL, "http://")))
			var addr, face string
			if !near.Scan() {
				t.Fatal("the site did not start")
			}
			if _, err := fmt.Sscanf(near.Text(), "ready %s %s", &addr, &face); err != nil {
				t.Fatal(near.Text(), err)
			}
			target := face
			if c.tls {
				target = "https://" + addr
			}
			began := time.Now()
			flood := process(t, program, "flood", childAddr+"="+target, childPath+"="+c.path, childBlob+"="+string(digest.Of(body)))
			open := sync.OnceFunc(func() { close(release) })
			defer open()
			var last string
			again := 0
			for flood.Scan() {
				if last = flood.Text(); last == "connected 8000" {
					open() // as many as the site and the kernel hold: the others come when these go
				}
				switch {
				case strings.HasPrefix(last, "failed"):
					t.Error(last)
				case strings.HasPrefix(last, "again"):
					again++
				}
			}
			if last != fmt.Sprint("right ", clients) {
				t.Errorf("got %q", last)
			}
			n, _ := far.Requests()
			if !c.tls {
				n = mods.requests()
			}
			if n != 1 {
				t.Errorf("%d transfers from upstream", n)
			}
			t.Logf("%d clients, %d tries more, in %v", clients, again, time.Since(began).Round(time.Millisecond))
		})
	}
}
