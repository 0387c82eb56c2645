package badlink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Net is a switch and hosts, each a network namespace of its own, with no route to anywhere
// else. It lives in a user namespace that nothing outside can see, and in processes that wait
// for their standard input to end: when the test that made it dies in whatever way, so do they,
// and the kernel removes everything.
type Net struct {
	ctx   context.Context // the life of the test
	sw    *space
	hosts []*Host
}

// Host is one machine on a Net.
type Host struct {
	net   *Net
	space *space
	index int
}

// space is a process that holds namespaces open.
type space struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// NewNet makes a switch with n hosts, 1 to 200. When namespaces or tools are missing the error says
// which and what to do. The caller ends it with Close.
func NewNet(ctx context.Context, n int) (*Net, error) {
	for _, tool := range []string{"ip", "tc", "nsenter", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%s is not installed: apt-get install iproute2 util-linux", tool)
		}
	}
	net := &Net{ctx: ctx}
	if err := net.make(n); err != nil {
		return nil, errors.Join(err, net.Close())
	}
	return net, nil
}

func (n *Net) make(count int) error {
	var err error
	attr := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if n.sw, err = hold(attr, "sh"); err != nil {
		return fmt.Errorf("network namespaces cannot be made here (%w): run as root, or allow user namespaces with "+
			"sysctl kernel.unprivileged_userns_clone=1", err)
	}
	if err := n.onSwitch("ip", "link", "add", "lan", "up", "type", "bridge"); err != nil {
		return err
	}
	for i := range count {
		h := &Host{net: n, index: i}
		if h.space, err = hold(&syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, n.sw.enter("unshare", "--net", "sh")...); err != nil {
			return err
		}
		n.hosts = append(n.hosts, h)
		if err := n.onSwitch("ip", "link", "add", h.port(), "type", "veth", "peer", "name", "eth0", "netns", h.space.pid()); err != nil {
			return err
		}
		if err := n.onSwitch("ip", "link", "set", h.port(), "master", "lan", "up"); err != nil {
			return err
		}
		for _, line := range []string{"link set lo up", "address add " + h.IP() + "/24 dev eth0", "link set eth0 up"} {
			if err := h.run(append([]string{"ip"}, strings.Fields(line)...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// hold starts a shell by the command argv that says when its namespaces are there and then waits.
func hold(attr *syscall.SysProcAttr, argv ...string) (*space, error) {
	argv = append(argv, "-c", "echo ready; exec cat >/dev/null")
	cmd := exec.Command(argv[0], argv[1:]...) // ends with its standard input
	cmd.SysProcAttr = attr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &space{cmd, in}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		s.end()
		return nil, fmt.Errorf("%s: %s", strings.Join(argv, " "), strings.TrimSpace(said.String()))
	}
	return s, nil
}

func (s *space) pid() string { return strconv.Itoa(s.cmd.Process.Pid) }

// enter returns argv, to be run inside of s.
func (s *space) enter(argv ...string) []string {
	return append([]string{"nsenter", "--target", s.pid(), "--user", "--net", "--preserve-credentials", "--"}, argv...)
}

func (s *space) end() {
	s.stdin.Close()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // killed
}

// Host returns host i, from 0.
func (n *Net) Host(i int) *Host { return n.hosts[i] }

// Close ends what runs on the hosts' behalf and removes the network.
// It may be called more than once.
func (n *Net) Close() error {
	for _, h := range n.hosts {
		h.space.end()
	}
	if n.sw != nil {
		n.sw.end()
	}
	n.hosts, n.sw = nil, nil
	return nil
}

func (n *Net) onSwitch(argv ...string) error { return n.finish(n.sw.enter(argv...)) }

func (n *Net) finish(argv []string) error {
	cmd := exec.CommandContext(n.ctx, argv[0], argv[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// IP returns the host's address, from the block for documentation (RFC 5737).
func (h *Host) IP() string { return fmt.Sprintf("192.0.2.%d", h.index+1) }

func (h *Host) port() string { return fmt.Sprintf("port%d", h.index) }

func (h *Host) run(argv ...string) error { return h.net.finish(h.space.enter(argv...)) }

// Command returns a command that runs argv on the host, as its root. The files are this machine's.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	argv = h.space.enter(argv...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Unplug takes the host's cable out: what is on its way is lost and
// nobody is told. Plug puts it back.
func (h *Host) Unplug() error { return h.net.onSwitch("ip", "link", "set", h.port(), "down") }

// Plug undoes Unplug.
func (h *Host) Plug() error { return h.net.onSwitch("ip", "link", "set", h.port(), "up") }

// Limit makes the way from the switch to the host carry rate bytes per second; 0 is no limit.
func (h *Host) Limit(rate int64) error {
	if rate <= 0 {
		return h.net.onSwitch("tc", "qdisc", "del", "dev", h.port(), "root")
	}
	return h.net.onSwitch("tc", "qdisc", "replace", "dev", h.port(), "root", "tbf",
		"rate", fmt.Sprintf("%dbit", rate*8), "burst", "16kb", "latency", "400ms")
}

// Counts returns how many bytes the switch has sent to the host, and the host
// to the switch, frames and all.
func (h *Host) Counts() (down, up int64, err error) {
	cmd := h.net.sw.enter("ip", "-statistics", "-oneline", "link", "show", "dev", h.port())
	out, err := exec.CommandContext(h.net.ctx, cmd[0], cmd[1:]...).Output()
	if err != nil {
		return 0, 0, fmt.Errorf("count bytes of %s: %w", h.port(), err)
	}
	number := func(after string) int64 {
		_, rest, _ := strings.Cut(string(out), after)
		_, rest, _ = strings.Cut(rest, "\\")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return -1
		}
		v, perr := strconv.ParseInt(fields[0], 10, 64)
		if perr != nil {
			return -1
		}
		return v
	}
	down, up = number("TX:"), number("RX:")
	if down < 0 || up < 0 {
		return 0, 0, fmt.Errorf("count bytes of %s: cannot read %q", h.port(), out)
	}
	return down, up, nil
}
