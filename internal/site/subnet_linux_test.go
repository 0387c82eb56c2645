package site

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever has a whole /64 of IPv6 addresses is one client all the same: in a network of its own, where
// each connection comes from another of them.
func TestS14SilentConnectionsOfOneSubnet(t *testing.T) {
	n := newNet(t, 1)
	lines, wait := hosted(t, n.Host(0), childRole+"=subnet", childDir+"="+newSite(t))
	var got []string
	for lines.Scan() {
		got = append(got, lines.Text())
	}
	if err := wait(); err != nil || strings.Join(got, "\n") != "served" {
		t.Errorf("%v\n%s", err, strings.Join(got, "\n"))
	}
}

func childSubnet() error {
	for _, line := range []string{"link set lo up", "-6 addr add fd00:1::1/128 dev lo", "-6 route add local fd00:a::/64 dev lo", "-6 route add local fd00:b::/64 dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	ready := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- Run(context.Background(), os.Getenv(childDir), Options{Listen: "[fd00:1::1]:0", Conns: 64, Ready: func(a string) { ready <- a }})
	}()
	addr := ""
	select {
	case addr = <-ready:
	case err := <-ended:
		return err
	}
	from := func(ip string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
			cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1) })
			return errors.Join(cerr, err)
		}}
		return d.Dial("tcp", addr)
	}
	for i := range 200 {
		if _, err := from(fmt.Sprintf("fd00:a::%x:%x", i, i+1)); err != nil { // it stays open
			return err
		}
	}
	c, err := from("fd00:b::1")
	if err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	if _, err := io.WriteString(c, "GET /v1/health HTTP/1.1\r\nHost: [fd00:1::1]\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		return fmt.Errorf("%w: %s", err, answer)
	}
	fmt.Println("served")
	return nil
}
