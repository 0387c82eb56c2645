package volume

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"overland/internal/digest"
	"overland/internal/errs"
	"overland/internal/platform"
)

// Tests that write a program and run it are not parallel: a fork in between would hold the file
// open for writing, and the kernel refuses to run it then.

// shells are what /bin/sh is on the machines that a volume meets.
var shells = map[string][]string{
	"busybox": {"busybox", "sh"},
	"dash":    {"dash"},
	"bash":    {"bash", "--posix"},
}

// here is the platform of this machine.
const here = platform.Platform("linux/" + runtime.GOARCH)

// fakeAgent builds the program in testdata/agent; it calls itself name.
func fakeAgent(t *testing.T, name string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w -X main.name="+name, "-o", path, "./testdata/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return read(t, path)
}

// runnable returns content whose agents run on this machine: one for here, one
// that only claims to be for arm/v6.
func runnable(t *testing.T) *fixture {
	f := small(t)
	f.Agents = nil
	f.agent(here, fakeAgent(t, "here"))
	f.agent("linux/arm/v6", fakeAgent(t, "v6"))
	return f
}

type run struct {
	out  string // stdout and stderr
	code int
}

// sh runs the volume path with a shell. env comes on top of a bare one that
// ignores what is installed here.
func sh(t *testing.T, shell []string, path string, env []string, args ...string) run {
	t.Helper()
	cmd := exec.Command(shell[0], slices.Concat(shell[1:], []string{path}, args)...)
	return result(t, cmd, env)
}

func result(t *testing.T, cmd *exec.Cmd, env []string) run {
	t.Helper()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "OVERLAND_AGENT="}, env...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return run{string(out), cmd.ProcessState.ExitCode()}
}

func (r run) want(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s", r.code, code, r.out)
	}
	for _, text := range texts {
		if !strings.Contains(r.out, text) {
			t.Errorf("does not say %q:\n%s", text, r.out)
		}
	}
}

func TestStub(t *testing.T) {
	t.Parallel()
	path := runnable(t).seal(t, Options{})
	split := runnable(t).seal(t, Options{Split: 500_000}) // the agents do not fit into the first part
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"install", "verify", "list", "inspect", "extract", "status"} {
				sh(t, shell, path, nil, verb, "--root", "a  b", "*").want(t, 0,
					fmt.Sprintf("agent here called with %q", []string{verb, "--volume", path, "--root", "a  b", "*"}))
			}
			for _, code := range []string{"0", "1", "4", "130", "255"} {
				r := sh(t, shell, path, nil, "verify", "--exit", code)
				if fmt.Sprint(r.code) != code {
					t.Errorf("the agent ended with %s, sh with %d", code, r.code)
				}
			}
			sh(t, shell, path, nil).want(t, 0, "usage: sh my wallet.volume VERB", "install")
			sh(t, shell, path, nil, "--help").want(t, 0, "usage: sh")
			sh(t, shell, path, nil, "frobnicate").want(t, 2, "usage: sh", "no verb frobnicate")
			sh(t, shell, path, []string{"OVERLAND_PLATFORM=linux/arm/v7"}, "status").want(t, 0, "agent v6 called")
			sh(t, shell, path, []string{"OVERLAND_PLATFORM=linux/arm/v5"}, "status").want(t, 1, "no agent for linux/arm/v5")
			sh(t, shell, split+".001", nil, "install").want(t, 0, "agent here called", "--volume", "wallet.volume.001")
			relative(t, shell, path).want(t, 0, `"--volume" "./my wallet.volume"`)
		})
	}
}

func relative(t *testing.T, shell []string, path string) run {
	cmd := exec.Command(shell[0], append(shell[1:], filepath.Base(path), "list")...)
	cmd.Dir = filepath.Dir(path)
	return result(t, cmd, nil)
}

func TestStubKnowsMachines(t *testing.T) {
	path := runnable(t).seal(t, Options{})
	for machine, want := range map[string]string{
		"armv6l": "agent v6", "armv7l": "agent v6", "armv8l": "agent v6", "armv5tejl": "no agent for Linux/armv5tejl",
		"riscv64": "no agent for Linux/riscv64",
	} {
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "uname"), []byte("#!/bin/sh\n[ $1 = -s ] && echo Linux || echo "+machine+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		r := sh(t, shells["dash"], path, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, "status")
		if !strings.Contains(r.out, want) {
			t.Errorf("%s: %d %s", machine, r.code, r.out)
		}
	}
}

func TestStubPrefersWhatIsInstalled(t *testing.T) {
	path := small(t).seal(t, Options{})
	agent := filepath.Join(t.TempDir(), "installed agent")
	if err := os.WriteFile(agent, fakeAgent(t, "installed"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, shell := range shells {
		sh(t, shell, path, []string{"OVERLAND_AGENT=" + agent}, "list", "--exit", "3").want(t, 3, "agent installed called")
		sh(t, shell, path, []string{"OVERLAND_AGENT=/nothing"}, "list").want(t, 2, "OVERLAND_AGENT=/nothing is not a program")
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

func TestStubRefusesAnotherAgent(t *testing.T) {
	t.Parallel()
	f := runnable(t)
	good := f.seal(t, Options{})
	v := open(t, good)
	m := v.blob(f.Agents[0].Digest)
	flipped := forge(t, good, func(b []byte) []byte { b[m.data+m.size/2] ^= 1; return b })
	cut := forge(t, good, func(b []byte) []byte { return b[:m.data+m.size/2] })
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{flipped, cut} {
				tmp := t.TempDir()
				r := sh(t, shell, path, []string{"TMPDIR=" + tmp}, "install")
				r.want(t, 4, "not the one that this volume was sealed with")
				if strings.Contains(r.out, "called with") {
					t.Error("the agent was run")
				}
				empty(t, tmp)
			}
		})
	}
}

func TestStubThroughAPipe(t *testing.T) {
	t.Parallel()
	b := read(t, runnable(t).seal(t, Options{}))
	for name, shell := range shells {
		for _, args := range [][]string{nil, {"-s", "install"}} {
			cmd := exec.Command(shell[0], append(shell[1:], args...)...)
			cmd.Stdin = bytes.NewReader(b)
			cmd.Dir = t.TempDir()
			result(t, cmd, nil).want(t, 2, "cannot come through a pipe", "sh FILE install")
			if t.Failed() {
				t.Fatal(name)
			}
		}
	}
}

// A file whose stub is cut does nothing but say so, wherever behind the third line it is cut.
func TestStubCutShort(t *testing.T) {
	t.Parallel()
	path := runnable(t).seal(t, Options{})
	lines := bytes.SplitAfterN([]byte(stubText), []byte("\n"), 4)
	first, last := len(stubText)-len(lines[3]), bytes.LastIndexByte(read(t, path)[:stubSize], '}')
	for name, shell := range shells {
		for n := last; n >= first; n -= min(97, max(n-first, 1)) {
			cut := forge(t, path, func(b []byte) []byte { return b[:n] })
			r := sh(t, shell, cut, nil, "install")
			if r.code != errs.Untrusted.Exit() || !strings.Contains(r.out, "cut short") || strings.Contains(r.out, "called with") {
				t.Fatalf("%s: cut at %d: %d %s", name, n, r.code, r.out)
			}
		}
	}
}

func TestStubCleansUpWhenInterrupted(t *testing.T) {
	t.Parallel()
	path := runnable(t).seal(t, Options{})
	for name, shell := range shells {
		tmp := t.TempDir()
		cmd := exec.Command(shell[0], append(shell[1:], path, "install", "--wait")...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "OVERLAND_AGENT=", "TMPDIR=" + tmp}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 10)); err != nil { // the agent runs
			t.Fatal(err)
		}
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil { // as the terminal does on Ctrl-C
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 130 {
			t.Errorf("%s: exit code %d, want 130", name, code)
		}
		empty(t, tmp)
	}
}

// TestStubOnBusyboxAlone runs a volume where there is no other program than busybox,
// with folders that cannot be used.
func TestStubOnBusyboxAlone(t *testing.T) {
	f := runnable(t)
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	size := f.Agents[0].Size >> 10 // KiB
	for _, c := range []struct {
		name, mounts string
		code         int
		want         []string
	}{
		{"plain", "", 7, []string{"agent here called"}},
		{"noexec", "mount -t tmpfs -o noexec none $R/tmp", 7, []string{"agent here called"}},
		{"full", fmt.Sprintf("mount -t tmpfs -o size=%dk none $R/tmp", size/2), 7, []string{"agent here called"}},
		{"read-only", "mount -o remount,ro,bind $R", 1, []string{"no folder to unpack", "set TMPDIR"}},
		{
			"noexec everywhere", "mount -o remount,noexec,bind $R && mount -t tmpfs none $R/bin && cp $B $R/bin/busybox", 1,
			[]string{"programs cannot run in /tmp", "set TMPDIR"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for _, dir := range []string{"bin", "tmp", "var/tmp"} {
				if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for name, from := range map[string]string{"bin/busybox": busybox, "my wallet.volume": f.seal(t, Options{})} {
				if err := os.WriteFile(filepath.Join(root, name), read(t, from), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			script := "mount --bind $R $R && cd $R && " // the bind mount is what may be remounted
			if c.mounts != "" {
				script += c.mounts + " && "
			}
			script += `exec chroot $R /bin/busybox sh "/my wallet.volume" install --exit 7`
			cmd := exec.Command("unshare", "-rm", "sh", "-c", script)
			r := result(t, cmd, []string{"R=" + root, "B=" + busybox})
			r.want(t, c.code, c.want...)
			if c.name == "plain" && !strings.HasPrefix(r.out, "agent here") {
				t.Errorf("says more than the agent does: %s", r.out)
			}
		})
	}
}

// The stub belongs to the format: changing it makes every earlier volume unreadable.
func TestStubIsFrozen(t *testing.T) {
	const want = "sha256:b9c7a058ec811d50f38ddd4032d9845742ccd12b14bfac99c6d41b07b53a9660"
	if got := digest.Of([]byte(stubText)); got != want {
		t.Errorf("stub.sh is %s, format version %d has %s", got, version, want)
	}
}
