package confine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"overland/internal/confine"
)

func init() {
	verbs["remount"] = func([]string) {
		said, err := confine.RemountInside()
		fmt.Print(said)
		if err != nil {
			panic(err)
		}
	}
	verbs["reserve"] = func(args []string) { fmt.Println(confine.FillInside(args[0])) }
}

// nested runs this test program as another machine would have it, with the change how, and args. It
// returns what was printed and what the verb start said at last.
func nested(t *testing.T, self string, how func(cmd *exec.Cmd), args ...string) (string, ended) {
	t.Helper()
	var out, last bytes.Buffer
	cmd := exec.CommandContext(soon(t), self, args...)
	cmd.Stdout, cmd.Stderr = &out, &last
	how(cmd)
	err := cmd.Run()
	var e ended
	if bad := json.Unmarshal(last.Bytes(), &e); bad != nil {
		t.Fatalf("%v: %s%s", err, out.String(), last.String())
	}
	return strings.TrimSpace(out.String()), e
}

func text(t *testing.T, s confine.Spec) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// script runs the verb start in a mount namespace of its own, after the shell commands of before.
func script(before string) func(cmd *exec.Cmd) {
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"unshare", "--mount", "--propagation", "shared", "/bin/sh", "-e", "-c", before + `; exec "$@"`, "sh"}, cmd.Args...)
		cmd.Path = "/usr/bin/unshare"
	}
}

// Without control groups the processes are counted, threads too; and the kernel limits each of them.
func TestAMachineWithoutControlGroups(t *testing.T) {
	s := spec(t, "threads", "40")
	s.Limits = confine.Limits{Processes: 30}
	out, e := nested(t, program(t), script("umount -R -l /sys/fs/cgroup"), "start", text(t, s))
	if e.Err != "the limit of 30 for processes was reached" || e.Applied.Limits != "process" || len(e.Applied.Missing) != 1 {
		t.Errorf("%s: %+v", out, e)
	}
}

// Where root is given no user namespace it gives up its rights without one.
func TestAMachineWithoutUserNamespaces(t *testing.T) {
	s := spec(t, "status")
	all := []syscall.SysProcIDMap{{Size: 1 << 17}}
	out, e := nested(t, program(t), func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-e", "-c", `echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"`, "sh"}, cmd.Args...)
		cmd.Path = "/bin/sh"
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: all, GidMappings: all, GidMappingsEnableSetgroups: true}
	}, "start", text(t, s))
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || got["Uid"] != "61000 61000 61000 61000" || got["Gid"] != "61001 61001 61001 61001" || got["CapBnd"] != "0000000000000000" {
		t.Errorf("%v, %s", err, out)
	}
	if e.Applied.User != "switched" || len(e.Applied.Missing) != 1 || slices.Contains(e.Applied.Namespaces, "user") {
		t.Errorf("%+v", e)
	}
}

// Who is not root maps itself, writes as itself, and leaves out what it may not see.
func TestSomebodyConfinesACommand(t *testing.T) {
	const nobody = 61002
	self, closed, dir := everybodys(t), t.TempDir(), t.TempDir()
	if err := errors.Join(os.Chown(dir, nobody, nobody), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Mkdir(filepath.Join(closed, "in"), 0o700), os.Chmod(closed, 0o700)); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	s := spec(t, "write", filepath.Join(dir, "x"))
	s.User.HostID, s.User.HostGroup, s.Limits.Files = 0, 0, 1<<30
	s.Mounts[len(s.Mounts)-1].Source = self
	s.Mounts = append(s.Mounts, confine.Mount{Kind: confine.Bind, Source: dir, Target: dir, Writable: true},
		confine.Mount{Kind: confine.Optional, Source: filepath.Join(closed, "in"), Target: "/closed"})
	out, e := nested(t, self, func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}, "start", text(t, s))
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "x"), &st); err != nil || st.Uid != nobody || st.Gid != nobody || e.Exit.Code != 0 || e.Applied.User != "namespace" {
		t.Errorf("%s, %+v; %v, of %d:%d", out, e, err, st.Uid, st.Gid)
	}
}

// Of the groups of who starts it a command has none.
func TestTheGroupsOfRootAreNotTheCommands(t *testing.T) {
	s := spec(t, "status")
	out, e := nested(t, program(t), func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{0, 5, 6}}}
	}, "start", text(t, s))
	var got map[string]string
	if err := json.Unmarshal([]byte(out), &got); err != nil || got["Groups"] != "" || e.Applied.User != "namespace" {
		t.Errorf("%v, %+v: %s", err, e, out)
	}
}

// What a command mounts stays with it, also where the machine's mounts are shared, and one without a
// root of its own.
func TestMountsStayInside(t *testing.T) {
	for name, mounts := range map[string][]confine.Mount{"of its own": {{Kind: confine.Bind, Source: "/", Target: "/"}}, "the machine's": nil} {
		s := spec(t)
		s.Path, s.Args = "/bin/sh", []string{"sh", "-c", "mount -t tmpfs overland-was-here /mnt && echo mounted"}
		s.User, s.Privileged, s.Filter = confine.User{Share: true}, true, confine.FilterOff
		s.Mounts = mounts
		out, e := nested(t, program(t), script(`"$@" 2>/dev/null; if grep overland-was-here /proc/self/mountinfo; then echo it was left; fi`), "start", text(t, s))
		if e.Exit.Code != 0 || strings.Contains(out, "it was left") || !strings.Contains(out, "mounted") {
			t.Errorf("%s: %s, %+v", name, out, e)
		}
	}
}

// A kernel before 5.12 changes one mount after the other: all of them, no others, and nothing is taken
// away that the machine has set.
func TestRemount(t *testing.T) {
	out, err := inside(t, "remount").CombinedOutput()
	want := "/new/a ro,nosuid,nodev,noexec,relatime\n/new/a/in\\040side ro,nosuid,nodev,relatime\n/new/ab rw,relatime\n/new/w rw,nosuid,nodev,relatime\n/new/w/ro ro,nosuid,nodev,relatime\n"
	if err != nil || string(out) != want {
		t.Errorf("%v; got\n%s\nwant\n%s", err, out, want)
	}
}

// A disk that was roomy keeps a reserve; one that never was is not the command's fault.
func TestTheReserveOfADisk(t *testing.T) {
	out, err := inside(t, "reserve", t.TempDir()).CombinedOutput()
	if want := "[<nil> the limit of 256 MiB left free for disk was reached <nil>] <nil>\n"; err != nil || string(out) != want {
		t.Errorf("%v; got %s, want %s", err, out, want)
	}
}

// inside returns how this test program runs as the verb args in a mount namespace of its own.
func inside(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(soon(t), "unshare", append([]string{"--mount", program(t)}, args...)...)
}
