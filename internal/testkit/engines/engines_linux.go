package engines

import (
	"bufio"
	"context"
	_ "embed"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Host is a machine with the programs. It ends with its test.
type Host struct {
	dir string // on this machine, seen on the host too
	pid int    // of its first process
}

//go:embed host.sh
var setUp string

// Start makes a host whose /etc has the files etc beside what Debian puts there, by path below /etc. It needs root.
func Start(t testing.TB, etc map[string]string) *Host {
	t.Helper()
	packages, dir := fetch(t, programs...), t.TempDir()
	for name, text := range etc {
		path := filepath.Join(dir, "etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", setUp, "host", packages, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	cmd.Env = environment(dir)
	cmd.Stdin = in // it ends when nobody holds the other end
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	in.Close()
	if err != nil {
		t.Fatalf("a host with container programs: %v (run the tests as root)", err)
	}
	t.Cleanup(func() {
		hold.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && log.Len() > 0 {
			t.Logf("what the host said:\n%s", log.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "ready\n" {
		daemon, _ := os.ReadFile(filepath.Join(dir, "dockerd.log"))
		t.Fatalf("a host with container programs: %q, %v\n%s", line, err, daemon)
	}
	return &Host{dir, cmd.Process.Pid}
}

func environment(dir string) []string {
	return []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/run/home", "TMPDIR=/run/tmp", "TERM=dumb", "XDG_RUNTIME_DIR=/run", "DIR=" + dir,
		"DOCKER_HOST=unix:///run/docker.sock", "CONTAINERD_ADDRESS=/run/docker/containerd/containerd.sock", "BUILDAH_ISOLATION=chroot",
	}
}

// Dir returns a folder that the host sees under the same path.
func (h *Host) Dir() string { return h.dir }

// Run runs argv on the host, with input, and returns what it printed, both streams together.
func (h *Host) Run(ctx context.Context, input io.Reader, argv ...string) (string, error) {
	args := append([]string{"--target", strconv.Itoa(h.pid), "--mount", "--pid", "--wdns=/run/home", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env, cmd.Stdin = environment(h.dir), input
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Do is Run, whose failure is the test's.
func (h *Host) Do(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := h.Run(t.Context(), nil, argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}
