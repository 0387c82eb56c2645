package vm

import (
	"bytes"
	"cmp"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
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
	kernel, busybox := debian(t, m)
	if err := writeInitrd(initrd, busybox, o.Files, script(o.Command)); err != nil {
		t.Fatal(err)
	}
	args := append(m.args, "-m", strconv.Itoa(cmp.Or(o.Memory, 384)),
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", kernel, "-initrd", initrd,
		"-append", "console="+m.console+" panic=-1 quiet cgroup_no_v1=all oops=panic")
	cmd := exec.CommandContext(t.Context(), m.qemu, args...)
	var console console
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; make deps and make vmdeps install it", err)
	}
	if err := wait(cmd, &console, patience); err != nil {
		t.Fatalf("%v; its console:\n%s", err, console.String())
	}
	out, code, ok = console.result()
	if !ok {
		t.Fatalf("the machine ended early (%s); its console:\n%s", cmd.ProcessState, console.String())
	}
	t.Logf("the machine took %.1f CPU seconds", (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	return out, code
}

// machine is one kind of virtual machine.
type machine struct {
	qemu    string
	args    []string
	console string
	kernel  string // Debian's package that depends on the newest kernel
	arch    string // Debian's
	goarch  string
}

var machines = map[string]machine{
	"amd64": {"qemu-system-x86_64", []string{"-M", "q35", "-accel", "tcg", "-cpu", "max"}, "ttyS0", "linux-image-cloud-amd64", "amd64", "amd64"},
	"arm64": {"qemu-system-aarch64", []string{"-M", "virt", "-cpu", "cortex-a72"}, "ttyAMA0", "linux-image-cloud-arm64", "arm64", "arm64"},
	"arm":   {"qemu-system-arm", []string{"-M", "virt,highmem=off", "-cpu", "cortex-a15"}, "ttyAMA0", "linux-image-armmp", "armhf", "arm"},
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

func (c *console) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Len()
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
