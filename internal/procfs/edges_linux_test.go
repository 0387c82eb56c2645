package procfs

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A process is the one that was read, and no other that has its number.
func TestOnlyTheVeryProcessIsSignalled(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "trap 'echo told' TERM; echo ready; while :; do read x; done")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Scan()
	p, err := Read(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := p
	other.Start++
	other.Signal(syscall.SIGKILL)
	p.Signal(syscall.SIGTERM)
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Errorf("another process was signalled: %v", err)
	}
	if lines.Scan(); lines.Text() != "told" {
		t.Errorf("it heard %q", lines.Text())
	}
	p.Signal(syscall.SIGKILL)
	for lines.Scan() { // until nobody has the pipe: it is dead, and not collected
	}
	for now := p; !now.Dead(); {
		if now, err = Read(p.PID); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range Below(os.Getpid()) {
		if q.PID == p.PID {
			t.Errorf("a dead process is there: %+v", q)
		}
	}
	_ = cmd.Wait()
	if _, err := Read(p.PID); err == nil {
		t.Error("it is still there")
	}
}

// Each of its ids makes a process a user's.
func TestAProcessIsEachOfItsUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run it as root: it becomes somebody else")
	}
	cmd := exec.CommandContext(t.Context(), "setpriv", "--ruid", "23456", "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p, err := Read(cmd.Process.Pid)
	if err != nil || !p.Is(23456) || !p.Is(0) || p.Is(2345) {
		t.Errorf("%v, %v, %v: %v", p.Is(23456), p.Is(0), p.Is(2345), err)
	}
	in.Close()
	_ = cmd.Wait()
}

func TestWhatProcSays(t *testing.T) {
	const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	line := func(local, remote, uid, inode string) string {
		return "   0: " + local + " " + remote + " 01 00000000:00000000 00:00000000 00000000  " + uid + "        0 " + inode + " 1 0000000000000000 20 4 30 10 -1\n"
	}
	const us, client, other = "0100007F:1F90", "0100007F:9C40", "0100007F:9C41"
	p := map[string]Socket{}
	addPeers(p, []byte(header+line(client, us, "1000", "77")+line(us, client, "0", "78")+line(other, us, "5", "0")+line("0100007F:9C42", us, "x", "9")+"torn "+us+" "), us)
	if len(p) != 1 || p[client] != (Socket{1000, 77}) {
		t.Errorf("%+v", p)
	}
	addr := func(s string) *net.TCPAddr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for at, want := range map[string][2]string{
		"127.0.0.1:8080": {us, "0000000000000000FFFF00000100007F:1F90"}, "[::1]:80": {"00000000000000000000000001000000:0050", "00000000000000000000000001000000:0050"},
	} {
		a := addr(at).AddrPort()
		if got := [2]string{form(a, false), form(a, true)}; got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
	if _, err := PeersOf(&net.UnixAddr{Name: "x"}); err == nil {
		t.Error("peers of a path")
	}
	stat := "7 (a) S 4 5 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 12345"
	for cut, ok := range map[string]bool{stat: true, strings.TrimSuffix(stat, " 12345"): false, stat[:7]: false, "": false} {
		if _, err := parse([]byte(cut)); (err == nil) != ok {
			t.Errorf("%q: %v", cut, err)
		}
	}
	for _, state := range []byte("Xx") {
		if !(Process{State: state, Threads: 3}).Dead() {
			t.Errorf("%c is alive", state)
		}
	}
}
