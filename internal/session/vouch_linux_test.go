package session_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"overland/internal/procfs"
	"overland/internal/session"
)

// one is a listener that has accepted c.
type one struct {
	net.Listener
	c net.Conn
}

func (o one) Accept() (net.Conn, error) { return o.c, nil }

// TestS7AUsersWordIsNotEnough: the descriptors of a command's process may be hidden, as those of apt's downloader from
// a root that may not trace. Another process of that user is a stranger all the same.
func TestS7AUsersWordIsNotEnough(t *testing.T) {
	const again = "TEST_WITHOUT_TRACING"
	if os.Getenv(again) == "" {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "setpriv", "--bounding-set=-sys_ptrace,-dac_override,-dac_read_search", "--", exe,
			"-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), again+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// run starts a command in which a shell of a user whom no other test has runs script, and returns once that has
	// said something.
	run := func(script string) (above int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "bash", "-c",
			"setpriv --reuid=23478 --regid=23478 --clear-groups bash -c '"+script+"'; exit")
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true}
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() })
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return cmd.Process.Pid
	}
	own := run(fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d; echo; while echo >&3; do sleep .05; done", l.Addr().(*net.TCPAddr).Port))
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	admits := func(above int) bool {
		c, err := session.Guard(one{l, conn}, above, procfs.PeersOf).Accept()
		if err != nil {
			t.Fatal(err)
		}
		n, _ := c.Read(make([]byte, 1))
		return n == 1
	}
	if !admits(own) {
		t.Error("a process of the command, the only one of its user, is refused")
	}
	idle := run("echo; exec sleep 1000")
	if admits(idle) {
		t.Error("admitted for a process that the command did not start")
	}
	if admits(own) {
		t.Error("admitted though the connection may be that of the user's other process")
	}
}
