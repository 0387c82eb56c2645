package site

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"overland/internal/ecosystem/apt"
)

// lonely is a network in which only one address answers: what is sent there
// goes to a cache of this machine's.
type lonely struct {
	t    *testing.T
	addr string
	do   chan func() // called on the thread that is in the network
}

const lonelyAddr = "127.0.0.1:3142"

// newLonely makes a network in which the cache at addr has lonelyAddr. It needs root.
func newLonely(t *testing.T, addr string) *lonely {
	t.Helper()
	n := &lonely{t: t, addr: addr, do: make(chan func())}
	ready := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		l, err := n.enter()
		ready <- err
		if err != nil {
			return
		}
		wg.Go(func() { n.relay(l) })
		for f := range n.do {
			f()
		}
		l.Close()
	})
	t.Cleanup(func() { close(n.do); wg.Wait() })
	if err := <-ready; err != nil {
		t.Fatalf("a network of its own: %v (run the tests as root)", err)
	}
	return n
}

func (n *lonely) enter() (net.Listener, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(n.t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return nil, errors.New(string(out))
	}
	return new(net.ListenConfig).Listen(n.t.Context(), "tcp", lonelyAddr)
}

// relay carries connections from l to the cache until l is closed.
func (n *lonely) relay(l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer in.Close()
			out, err := new(net.Dialer).DialContext(context.Background(), "tcp", n.addr)
			if err != nil {
				return
			}
			defer out.Close()
			var up sync.WaitGroup
			up.Go(func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() })
			_, _ = io.Copy(in, out)
			in.Close()
			up.Wait()
		})
	}
}

// shell runs script by the shell of the root file system root, as
// root, and returns what it printed.
func (n *lonely) shell(root, script string) (out string, err error) {
	done := make(chan struct{})
	n.do <- func() {
		defer close(done)
		cmd := exec.CommandContext(n.t.Context(), "chroot", root, "sh", "-ec", script)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "HOME=/root"}
		var b []byte
		b, err = cmd.CombinedOutput()
		out = string(b)
	}
	<-done
	return out, err
}

// debian makes the root file system of a small Debian with apt through the cache at addr, by the
// first of this machine's own sources, and returns it.
func debian(t *testing.T, addr string) string {
	t.Helper()
	sources, err := apt.MachineSources()
	if err != nil || len(sources) == 0 {
		t.Fatalf("this machine's apt has no sources: %v", err)
	}
	root := filepath.Join(t.TempDir(), "root")
	cmd := exec.CommandContext(t.Context(), "mmdebstrap", "--quiet", "--variant=apt", "--components="+strings.Join(sources[0].Components, ","),
		sources[0].Suites[0], root, sources[0].URIs[0])
	cmd.Env = append(os.Environ(), "http_proxy=http://"+addr, "no_proxy=", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return root
}

// A small Debian is made through the cache. In a network where nothing but the cache answers,
// the line that overland cache env prints is pasted, and the real apt-get installs: from
// Debian, and from an archive of the test's, which is then attacked; with the origins not
// asked any more; and as of a freeze.
func TestAptGetInAThrowawayRoot(t *testing.T) {
	a := newAttic(t)
	a.publish("1", time.Now().Add(time.Hour))
	key := a.keyFile()
	dir, addr := cachedSite(t, map[string][]string{"apt": {source(a.URL, key)}})
	k, err := OpenCache(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	root := debian(t, addr)
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"usr/share/keyrings/attic.asc":        string(text),
		"etc/apt/sources.list.d/attic.list":   source("http://nowhere.invalid", "/usr/share/keyrings/attic.asc") + "\n",
		"etc/apt/apt.conf.d/50test":           "APT::Update::Error-Mode \"any\";\nAcquire::Retries \"0\";\n",
		"usr/sbin/policy-rc.d":                "#!/bin/sh\nexit 101\n",
		"etc/dpkg/dpkg.cfg.d/fast":            "force-unsafe-io\n",
		"etc/apt/apt.conf.d/51no-translation": "Acquire::Languages \"none\";\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := newLonely(t, addr)
	good := func(script, want string) {
		t.Helper()
		if out, err := n.shell(root, script); err != nil || !strings.Contains(out, want) {
			t.Fatalf("%s: %v\n%s\nwant %q", script, err, out, want)
		}
	}
	bad := func(script, want string) {
		t.Helper()
		if out, err := n.shell(root, script); err == nil || !strings.Contains(out, want) {
			t.Fatalf("%s: %v\n%s\nwant a failure with %q", script, err, out, want)
		}
	}
	env := func(freeze string) string { t.Helper(); return lineOf(t, "http://"+lonelyAddr, freeze, "apt-get") }
	again := func() {
		t.Helper()
		if err := k.Recheck(t.Context(), "apt", "attic/"+atticRelease); err != nil {
			t.Fatal(err)
		}
	}
	const install, forget = "apt-get install -qy hello attic-tea; hello; cat /opt/tea", "apt-get purge -qy hello attic-tea; apt-get clean; rm -rf /var/lib/apt/lists/*; "

	bad("apt-get update", "") // there is no network
	good(env(""), "attic calm InRelease")
	good("apt-get update", "Hit:") // what did not change does not travel
	good(install, "Hello, world!\n1")

	if err := k.SetOffline(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	good(forget+"apt-get update; "+install, "Hello, world!\n1")
	if err := k.SetOffline(t.Context(), false); err != nil {
		t.Fatal(err)
	}

	if _, err := k.Freeze(t.Context(), "tuesday", time.Time{}); err != nil {
		t.Fatal(err)
	}
	a.publish("2", time.Now().Add(time.Hour))
	again()
	good(forget+"apt-get update; "+install, "Hello, world!\n2")
	good(forget+env("tuesday"), "attic calm InRelease")
	good(install, "Hello, world!\n1")

	// Attacks, on a machine that has tea 1.
	good(env("")+"; apt-get purge -qy attic-tea", "")
	a.publish("3", time.Now().Add(time.Hour))
	index := a.files[atticIndex]
	a.put(atticIndex, []byte(strings.Replace(string(index), "Version: 3", "Version: 9", 1)))
	again()
	bad("apt-get update", "422")
	a.put(atticIndex, index)
	deb := a.files[pool("3")]
	a.put(pool("3"), []byte("<!DOCTYPE html><p>Welcome to our WiFi"))
	good("apt-get update", "")
	bad("apt-get install -qy attic-tea", "503")
	a.put(pool("3"), append(deb, 0))
	bad("apt-get install -qy attic-tea", "422")
	a.put(pool("3"), deb)
	good("apt-get install -qy attic-tea; cat /opt/tea", "3")
	a.publish("4", time.Now().Add(-time.Minute))
	again()
	bad("apt-get update", "422")
}
