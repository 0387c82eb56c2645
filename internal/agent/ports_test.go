package agent_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"overland/internal/agent/follow"
	"overland/internal/appfile"
	"overland/internal/errs"
	"overland/internal/nodeapi"
	"overland/internal/runtime"
	"overland/internal/runtime/process"
)

// newRealWorld is newWorld of a machine whose services are processes, in a folder that they can enter.
func newRealWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	dir, err := os.MkdirTemp("/tmp", "overland-agent-")
	must(t, err)
	w.dir = filepath.Join(dir, "node")
	must(t, os.Chmod(dir, 0o755))
	w.o.Runtimes = runtime.Set{"process": process.New(process.Options{})}
	t.Cleanup(func() {
		a := w.open()
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		must(t, a.Close())
		must(t, os.RemoveAll(dir))
	})
	return w
}

// served releases and promotes wallet@version, a script that may use $PORT, and returns a volume of it.
func (w *world) served(version, script string, port int, change func(*appfile.Service)) string {
	w.t.Helper()
	s := appfile.Service{
		Artifact: "node", Runtime: "process", Stable: appfile.Duration(time.Millisecond), Readiness: appfile.Duration(20 * time.Second),
		StopTimeout: appfile.Duration(2 * time.Second), Env: map[string]string{"PORT": strconv.Itoa(port)},
	}
	if change != nil {
		change(&s)
	}
	w.Release("wallet", version, map[string]string{"node": "#!/bin/sh\n" + script + "\n"}, services(s))
	w.Promote("live", "wallet", version)
	return w.volume(version)
}

const (
	serving = "exec busybox httpd -f -p 127.0.0.1:$PORT"
	idle    = "exec sleep 1000"
)

// stranger listens on a port of this machine.
func stranger(t *testing.T) (*httptest.Server, int) {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s, s.Listener.Addr().(*net.TCPAddr).Port
}

// A switch to a service whose port a stranger has is refused, with the stranger's name, before anything
// is stopped; when the port is free it is taken, and a version after it takes it over.
func TestAPortIsFreeBeforeASwitchAndOursAfterIt(t *testing.T) {
	w := newRealWorld(t)
	other, port := stranger(t)
	w.mustInstall(w.served(v1, idle, port, nil))
	declared := func(s *appfile.Service) { s.Ports = []appfile.Port{{Number: port, Address: "127.0.0.1"}} }
	two := w.served(v2, serving, port, declared)
	a := w.open()
	install := func(path string) (nodeapi.Report, error) {
		src, done, err := follow.OpenSource(path)
		must(t, err)
		defer done()
		return a.Install(t.Context(), src, nodeapi.InstallOptions{})
	}
	_, err := install(w.volume("refresh"))
	if want := fmt.Sprintf("service wallet.node needs port 127.0.0.1:%d, on which process %d (", port, os.Getpid()); errs.KindOf(err) != errs.Conflict || !strings.Contains(err.Error(), want) {
		t.Errorf("while a stranger has the port: %v, want %q", err, want)
	}
	before := a.Status()
	if before.Generation != 1 || len(before.Refused) != 0 || before.Services[0].State != "running" || before.Services[0].Restarts != 0 {
		t.Errorf("status: %+v", before)
	}
	other.Close()
	r, err := install(two)
	if err != nil || r.Outcome != nodeapi.Installed || r.Tests[0].Check != fmt.Sprintf("port 127.0.0.1:%d", port) {
		t.Fatalf("when it is free: %+v, %v", r, err)
	}
	if s := a.Status().Services[0]; len(s.Ports) != 1 || s.Ports[0] != fmt.Sprintf("127.0.0.1:%d", port) {
		t.Errorf("status: %+v", s)
	}
	if r, err = install(w.served(v3, "\n"+serving, port, declared)); err != nil || r.Outcome != nodeapi.Installed {
		t.Errorf("a version after it: %+v, %v", r, err)
	}
	// One that says a port and does not listen is not good.
	r, err = install(w.served("r4.dddddddddddd", idle, port, func(s *appfile.Service) {
		declared(s)
		s.Readiness = appfile.Duration(100 * time.Millisecond)
	}))
	if r.Outcome != nodeapi.RolledBack || !strings.Contains(r.Reason, "nothing listens on port") {
		t.Errorf("one that does not listen: %+v, %v", r, err)
	}
	must(t, a.Close())
}

// A stranger that answers a self-test does not pass it, though the release names no port.
func TestAStrangerDoesNotPassASelfTest(t *testing.T) {
	_, port := stranger(t)
	w := newRealWorld(t)
	r, err := w.install(w.served(v1, idle, port, func(s *appfile.Service) {
		s.Readiness = appfile.Duration(2 * time.Second) // a machine with many processes takes a while to name one
		s.SelfTest = []appfile.Check{{HTTP: fmt.Sprintf("http://127.0.0.1:%d/", port), Status: 404}, {TCP: fmt.Sprintf("127.0.0.1:%d", port)}}
	}), nodeapi.InstallOptions{Root: w.Root(), Channel: "live"})
	if r.Outcome != nodeapi.RolledBack || len(r.Tests) != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	named := false // what was given up because of the other says only that
	for _, test := range r.Tests[:2] {
		if test.OK {
			t.Errorf("passed: %+v", test)
		}
		named = named || strings.Contains(test.Error, fmt.Sprintf("process %d (", os.Getpid())) && strings.Contains(test.Error, "answers there, not this service")
	}
	if !named {
		t.Errorf("the stranger is not named: %+v", r.Tests)
	}
}

// Of two applications with one port the one that is here keeps it, whatever the signers of the other
// release; of two new ones the first by name has it.
func TestTwoApplicationsDoNotHaveOnePort(t *testing.T) {
	on := func(text string) map[string]appfile.Service {
		s := quick
		p, err := appfile.ParsePort(text)
		must(t, err)
		s.Ports = []appfile.Port{p}
		return services(s)
	}
	w := newWorld(t)
	promote := func(app, version, port string) {
		w.Release(app, version, map[string]string{"node": "up " + app + " " + version}, on(port))
		w.Promote("live", app, version)
	}
	promote("b", v1, "8080")
	w.mustInstall(w.volume("one"))
	promote("a", v1, "127.0.0.1:8080")
	promote("b", v2, "8080")
	r, err := w.install(w.volume("two"), nodeapi.InstallOptions{})
	if err != nil || r.Outcome != nodeapi.Installed || len(r.Refused) != 1 || r.Refused[0] != "a is not installed: service a.node needs port 127.0.0.1:8080, which service b.node has" {
		t.Errorf("a newcomer: %+v, %v", r, err)
	}
	w.runs("b.node: up b " + v2)
	// It moves: then both can be had.
	promote("b", v3, "8081/tcp")
	if r, err = w.install(w.volume("three"), nodeapi.InstallOptions{}); err != nil || len(r.Refused) != 0 {
		t.Errorf("another port: %+v, %v", r, err)
	}
	w.runs("a.node: up a "+v1, "b.node: up b "+v3)
	// And back: now it is a's.
	promote("b", "r4.dddddddddddd", "8080")
	if r, err = w.install(w.volume("four"), nodeapi.InstallOptions{}); err != nil || len(r.Refused) != 1 || !strings.HasPrefix(r.Refused[0], "b stays at "+v3) {
		t.Errorf("a port that is a's: %+v, %v", r, err)
	}
	w.runs("a.node: up a "+v1, "b.node: up b "+v3)

	w.Boot()
	w.dir = filepath.Join(t.TempDir(), "fresh")
	if r, err = w.install(w.volume("fresh"), nodeapi.InstallOptions{Root: w.Root(), Channel: "live"}); err != nil || len(r.Refused) != 1 || !strings.HasPrefix(r.Refused[0], "b is not installed: service b.node needs port 8080") {
		t.Errorf("a fresh machine: %+v, %v", r, err)
	}
}
