package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overland/internal/confine"
	"overland/internal/errs"
	"overland/internal/lockfile"
	"overland/internal/origin"
	"overland/internal/session"
	storedir "overland/internal/store/dir"
)

const (
	nobody   = 65534
	isolated = "isolated" // a kind for program: a recording
	nested   = "nested"   // and a command in a cell, in the session around
)

// TestMain also plays what a session starts, and a program that runs a session of its own:
// OVERLAND_SESSION_TEST names that one's folder.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == confine.Verb {
		confine.Main()
	}
	if len(os.Args) > 1 && os.Args[1] == session.Verb {
		fmt.Fprintln(os.Stderr, session.Inside(context.Background(), os.Args[3:]))
		os.Exit(1)
	}
	if dir := os.Getenv("OVERLAND_SESSION_TEST"); dir != "" {
		os.Exit(sessionIn(dir, os.Args[1], os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// sessionIn runs a session until it ends, or a signal comes, and returns its exit code.
func sessionIn(dir, kind, script string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o := options(s, dir, script)
	o.Lock, o.Stdout, o.Stderr = &lockfile.Lock{}, os.Stdout, os.Stderr
	if kind == nested {
		o.WorkDir, o.Own = dir, []string{dir}
		if err := session.Nested(ctx, os.Environ(), o); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	run := session.Record
	if kind == session.Replaying {
		run = session.Replay
	}
	if kind == isolated {
		o.Reach = session.Nothing
	}
	res, err := run(ctx, o)
	exit := (*session.ExitError)(nil)
	switch {
	case errors.As(err, &exit):
		return exit.Code
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(len(res.Problems), "problems")
	for _, a := range res.Past {
		fmt.Println("past:", a)
	}
	return 0
}

// program returns the command that runs a session in a folder of its own, as a person without
// rights when there is a choice.
func program(t *testing.T, kind, script string, rights bool) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", kind, script)
	cmd.Env = append(os.Environ(), "OVERLAND_SESSION_TEST="+dir, "HOME=/nowhere")
	cmd.Dir = dir
	if os.Geteuid() == 0 && !rights {
		if err := errors.Join(os.Chown(dir, nobody, nobody), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

func options(s *storedir.Store, dir, script string) session.Options {
	return session.Options{
		Store: s, LockFile: filepath.Join(dir, "overland.lock"), Dir: filepath.Join(dir, "caches"),
		Command: []string{"sh", "-c", script}, Environ: os.Environ(),
	}
}

func newOptions(t *testing.T, script string) (session.Options, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	s, err := storedir.Open(filepath.Join(dir, "depot"), storedir.Options{Reserve: -1})
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	o := options(s, dir, script)
	out := &bytes.Buffer{}
	o.Stdout, o.Stderr = out, out
	o.Upstream = &origin.Client{Transport: tr, Wait: time.Millisecond, Tries: 1}
	return o, out
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// originServer is a server at an address that is not the command's own.
func originServer(t *testing.T) *httptest.Server {
	t.Helper()
	l := listen(t, "127.0.0.2:0")
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "content of "+r.URL.Path)
	}))
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func TestACommandIsRecordedAndReplayedWithoutANetwork(t *testing.T) {
	srv := originServer(t)
	o, out := newOptions(t, "curl -fsS "+srv.URL+"/a")
	res, err := session.Record(t.Context(), o)
	if err != nil || out.String() != "content of /a" || len(res.Problems) != 0 || len(res.Lock.Entries) != 1 {
		t.Fatalf("%v\n%s\n%+v", err, out, res)
	}
	// The origin goes on: only the namespace keeps the command from it.
	out.Reset()
	o.Lock = res.Lock
	o.Command[2] += "; tail -n +3 /proc/net/dev; curl -fsS --noproxy '*' -m 5 " + srv.URL + "/a"
	res, err = session.Replay(t.Context(), o)
	exit := (*session.ExitError)(nil)
	if !errors.As(err, &exit) || exit.Code != 7 {
		t.Errorf("a connection past the recorder: %v", err)
	}
	if !strings.HasPrefix(out.String(), "content of /a") || strings.Count(out.String(), ": ") < 1 || strings.Contains(out.String(), "eth") {
		t.Errorf("%s", out)
	}
	if len(res.Problems) != 0 || len(res.Lock.Entries) != 1 {
		t.Errorf("%+v", res)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) != 2 { // its lock and its journal
		t.Errorf("%v stay behind", left)
	}
}

// Nobody waits for what was not asked: a module proxy that says nothing, and a command without modules.
func TestACommandWithoutModulesAsksNoProxy(t *testing.T) {
	l := listen(t, "127.0.0.2:0")
	defer l.Close()
	var asked atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			defer c.Close() // until then, silence
		}
	}()
	t.Setenv("GOPROXY", "http://"+l.Addr().String())
	o, out := newOptions(t, "date")
	begun := time.Now()
	res, err := session.Record(t.Context(), o)
	if err != nil || len(res.Problems) != 0 || len(res.Lock.Entries) != 0 {
		t.Errorf("%v\n%s\n%+v", err, out, res)
	}
	if n, took := asked.Load(), time.Since(begun); n != 0 || took > 20*time.Second {
		t.Errorf("%d questions, and %s", n, took)
	}
}

// A disk that is full is the reason, whatever the command makes of it, and is said once.
func TestTheDepotIsFull(t *testing.T) {
	srv := originServer(t)
	o, _ := newOptions(t, "curl -fsS "+srv.URL+"/a "+srv.URL+"/b; exit 7")
	var err error
	if o.Store, err = storedir.Open(filepath.Join(t.TempDir(), "depot"), storedir.Options{Reserve: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	res, err := session.Record(t.Context(), o)
	if errs.KindOf(err) != errs.Unavailable || strings.Contains(err.Error(), "\n") || errs.HintOf(err) == "" {
		t.Errorf("error %v", err)
	}
	if len(res.Lock.Entries) != 0 || len(res.Problems) != 2 {
		t.Errorf("%+v", res)
	}
}

func TestACommandKnowsItsSession(t *testing.T) {
	o, out := newOptions(t, `echo "$OVERLAND_SESSION $PWD"; env`)
	o.WorkDir = t.TempDir()
	o.Environ = append(o.Environ, "PWD=/elsewhere", "MINE=1", "OVERLAND_SESSION=other")
	for want, run := range map[string]func(context.Context, session.Options) (*session.Result, error){session.Recording: session.Record, session.Replaying: session.Replay} {
		out.Reset()
		o.Lock = &lockfile.Lock{}
		if _, err := run(t.Context(), o); err != nil || !strings.HasPrefix(out.String(), want+" "+o.WorkDir+"\n") {
			t.Errorf("%s: %v\n%s", want, err, out)
		}
		inner := strings.Split(out.String(), "\n")
		own := strings.Join(session.Own(inner), "\n")
		if session.Kind(inner) != want || !strings.Contains(own, "HTTP_PROXY=") || !strings.Contains(own, "OVERLAND_SESSION_SET=") || strings.Contains(own, "MINE=") {
			t.Errorf("%s: kind %q, own\n%s", want, session.Kind(inner), own)
		}
	}
	if session.Kind(o.Environ) != "" || len(session.Own(os.Environ())) != 0 {
		t.Error("a session without one")
	}
}

func TestAPersonWithoutRightsReplaysToo(t *testing.T) {
	cmd := program(t, session.Replaying, "id -u; grep CapEff /proc/self/status; tail -n +3 /proc/net/dev; curl -sS http://origin.example/x", false)
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"CapEff:\t0000000000000000\n", "never recorded: url http://origin.example/x", "1 problems\n"} {
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("no %q: %v\n%s", want, err, out)
		}
	}
}

func TestTwoSessionsOfOneLock(t *testing.T) {
	o, _ := newOptions(t, "true")
	release, err := session.Hold(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := session.Record(t.Context(), o); errs.KindOf(err) != errs.Conflict {
		t.Errorf("error %v", err)
	}
}

func TestACommandThatIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o, _ := newOptions(t, "echo ready; exec tail -f /dev/null")
	o.Lock, o.Stdout = &lockfile.Lock{}, stopper(cancel)
	if _, err := session.Replay(ctx, o); err == nil {
		t.Error("it went on")
	}
}

// stopper is a writer that stops somebody.
type stopper func()

func (s stopper) Write(p []byte) (int, error) {
	s()
	return len(p), nil
}
