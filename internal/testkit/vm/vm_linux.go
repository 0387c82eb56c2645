package vm

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What a boot may take. CPU seconds count, not time: other tests run beside it.
const (
	bootCPU = 30 * time.Second // until the program starts
	runCPU  = 5 * time.Minute  // of everything
	patient = 20 * time.Minute // of the clock: only a QEMU that does nothing at all reaches it
	look    = 200 * time.Millisecond
)

const (
	startedLine = "vm: started"
	exitLine    = "vm: exit "
)

// Options say what runs in a machine.
type Options struct {
	Arch    string            // GOARCH; "" = amd64
	Files   map[string]string // path in the machine → file of this machine, executable
	Command []string          // Command[0] is a path in the machine
	Memory  int               // MiB; 0 = 384
	CPUs    int               // 0 = 2
}

// Run boots a machine, runs the command as root with cgroup v2 mounted, and returns what it printed
// and its exit code. A machine that does not come up fails the test with its console.
func Run(t testing.TB, o Options) (out string, code int) {
	t.Helper()
	m, ok := machines[cmp.Or(o.Arch, "amd64")]
	if !ok {
		t.Fatalf("no machine for %q", o.Arch)
	}
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	if err := writeInitrd(initrd, o.Files, script(o.Command)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	args := append(m.args, "-m", strconv.Itoa(cmp.Or(o.Memory, 384)), "-smp", strconv.Itoa(cmp.Or(o.CPUs, 2)),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", kernel(t, m), "-initrd", initrd,
		"-append", "console="+m.console+" panic=-1 quiet cgroup_no_v1=all oops=panic")
	cmd := exec.CommandContext(ctx, m.qemu, args...)
	var console console
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; make deps installs it", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			out, code, ok := console.result()
			if !ok {
				t.Fatalf("the machine ended early (%v); its console:\n%s", err, console.String())
			}
			t.Logf("the machine took %.1f CPU seconds", cmd.ProcessState.UserTime().Seconds()+cmd.ProcessState.SystemTime().Seconds())
			return out, code
		case <-time.After(look):
			used := cpuTime(cmd.Process.Pid)
			if used > runCPU || used > bootCPU && !console.started() {
				_ = cmd.Process.Kill()
				killed := <-done
				t.Fatalf("the machine hangs after %s of CPU (%v); its console:\n%s", used, killed, console.String())
			}
		}
	}
}

// machine is one kind of virtual machine.
type machine struct {
	qemu    string
	args    []string
	console string
	kernel  string // Debian's package that depends on the newest kernel
	arch    string // Debian's
}

var machines = map[string]machine{
	"amd64": {"qemu-system-x86_64", []string{"-M", "q35", "-accel", "tcg", "-cpu", "max"}, "ttyS0", "linux-image-cloud-amd64", "amd64"},
	"arm64": {"qemu-system-aarch64", []string{"-M", "virt", "-cpu", "cortex-a72"}, "ttyAMA0", "linux-image-cloud-arm64", "arm64"},
	"arm":   {"qemu-system-arm", []string{"-M", "virt,highmem=off", "-cpu", "cortex-a15"}, "ttyAMA0", "linux-image-armmp", "armhf"},
}

// script returns the machine's init: it prepares what an init does and runs command.
func script(command []string) string {
	quoted := make([]string, len(command))
	for k, word := range command {
		quoted[k] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return `#!/bin/busybox sh
/bin/busybox --install -s /bin
PATH=/bin
export PATH
# A root that can be left: what an initramfs is mounted on cannot.
mkdir -p /n /proc /sys /dev /tmp /run /usr/bin /etc /root
mount --bind / /n
cd /n
mount --move . /
exec chroot . /bin/busybox sh /init2
` + "\x00" + `#!/bin/busybox sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs tmp /tmp
chmod 1777 /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
ip link set lo up
# Process ids that no process namespace of a test reaches: one outside is not taken for one inside.
echo 20000 >/proc/sys/kernel/ns_last_pid
echo "` + startedLine + `"
` + strings.Join(quoted, " ") + `
echo "` + exitLine + `$?"
reboot -f
`
}

// console is what the machine has printed.
type console struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(c.b.String(), "\r", "")
}

func (c *console) started() bool { return strings.Contains(c.String(), startedLine) }

// result returns what the command printed, and its exit code.
func (c *console) result() (out string, code int, ok bool) {
	_, after, ok := strings.Cut(c.String(), startedLine+"\n")
	if !ok {
		return "", 0, false
	}
	k := strings.LastIndex(after, exitLine)
	if k < 0 {
		return "", 0, false
	}
	line, _, _ := strings.Cut(after[k+len(exitLine):], "\n")
	code, err := strconv.Atoi(line)
	return after[:k], code, err == nil
}

// cpuTime returns the CPU time that pid has used.
func cpuTime(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(after)
	const user, system, hertz = 11, 12, 100
	if len(f) <= system {
		return 0
	}
	u, _ := strconv.Atoi(f[user])
	s, _ := strconv.Atoi(f[system])
	return time.Duration(u+s) * time.Second / hertz
}

// kernel returns the path of the machine's kernel, which apt fetches,
// verified, once for a checkout.
func kernel(t testing.TB, m machine) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), ".cache", "vm", m.arch)
	if found, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*")); len(found) > 0 {
		return found[0]
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	run := func(at string, argv ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		cmd.Dir = at
		var diagnosis bytes.Buffer
		cmd.Stderr = &diagnosis
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, &diagnosis)
		}
		return string(out)
	}
	var name string
	for s := bufio.NewScanner(strings.NewReader(run("", "apt-cache", "depends", m.kernel))); s.Scan(); {
		if _, after, ok := strings.Cut(s.Text(), "Depends: "); ok {
			name = strings.TrimSpace(after)
			break
		}
	}
	if name == "" {
		t.Fatalf("apt knows no %s: run apt-get update", m.kernel)
	}
	if err := os.Chmod(tmp, 0o777); err != nil { // apt fetches as a user of its own
		t.Fatal(err)
	}
	run(tmp, "apt-get", "download", "-q", name)
	debs, _ := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if len(debs) != 1 {
		t.Fatalf("apt fetched %q", debs)
	}
	root := filepath.Join(tmp, "root")
	run("", "dpkg-deb", "-x", debs[0], root)
	if err := os.RemoveAll(filepath.Join(root, "lib")); err != nil { // no module is needed
		t.Fatal(err)
	}
	if err := os.Rename(root, dir); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	found, _ := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if len(found) == 0 {
		t.Fatalf("no kernel in %s", name)
	}
	return found[0]
}
