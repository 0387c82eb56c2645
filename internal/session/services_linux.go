package session

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"overland/internal/confine"
	"overland/internal/confine/border"
	"overland/internal/procfs"
)

const (
	atOnce   = 16                     // how many sockets come with one message
	look     = 500 * time.Millisecond // between two looks at what listens on this machine
	lookCost = 50                     // so much longer than a look takes is the pause after it, at least
	nameless = 53                     // the port of name servers, whose questions are for the border
)

// services connects an isolated command with what listens on the loopback interface of this machine: a
// database that a person started, a port that a container engine opens for the command. Each is named.
type services struct {
	c      *net.UnixConn // to the reaper, in whose namespace there are listeners in their place
	sender func(protocol string, from netip.AddrPort) string
	open   map[netip.AddrPort]*forwarder

	end context.CancelFunc
	all sync.WaitGroup

	mu   sync.Mutex
	used []border.Attempt
}

// renew listens in the namespace for each service that is new, and no longer for those that are gone.
func (n *services) renew(ctx context.Context) error {
	now, err := loopback()
	if err != nil {
		return err
	}
	var fresh []netip.AddrPort
	for at := range now {
		if n.open[at] == nil {
			fresh = append(fresh, at)
		}
	}
	for at, f := range n.open {
		if !now[at] {
			f.stop()
			delete(n.open, at)
		}
	}
	slices.SortFunc(fresh, netip.AddrPort.Compare)
	for part := range slices.Chunk(fresh, atOnce) {
		if err := n.add(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// add listens at the addresses in part, as far as they are free in the namespace.
func (n *services) add(ctx context.Context, part []netip.AddrPort) error {
	if err := confine.Send(n.c, order{Listen: part}); err != nil {
		return err
	}
	var got order
	files, err := confine.Receive(n.c, &got)
	if err == nil && len(files) != len(got.Listen) {
		err = fmt.Errorf("%d sockets for %d addresses", len(files), len(got.Listen))
	}
	for i, file := range files {
		var l net.Listener
		if err == nil {
			l, err = net.FileListener(file)
		}
		_ = file.Close()
		if err != nil {
			continue
		}
		at := got.Listen[i]
		var once sync.Once
		f := &forwarder{met: func(client net.Conn) { once.Do(func() { n.note(at, client) }) }}
		f.start(ctx, l, at.String())
		n.open[at] = f
	}
	return err
}

// note notes that the command uses the service at at; client is its first connection.
func (n *services) note(at netip.AddrPort, client net.Conn) {
	a := border.Attempt{Protocol: "tcp", To: at}
	if from, ok := client.RemoteAddr().(*net.TCPAddr); ok {
		from := from.AddrPort()
		a.Process = n.sender("tcp", netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.used = append(n.used, a)
}

// follow renews until stop is called, or the reaper has ended.
func (n *services) follow(ctx context.Context) {
	ctx, n.end = context.WithCancel(ctx)
	n.all.Go(func() {
		for pause := look; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			begun := time.Now()
			if n.renew(ctx) != nil {
				return
			}
			pause = max(look, time.Since(begun)*lookCost)
		}
	})
}

// stop ends the connections, and returns what was used, the first one first.
func (n *services) stop() []border.Attempt {
	if n.end != nil {
		n.end()
	}
	n.all.Wait()
	for _, f := range n.open {
		f.stop()
	}
	return n.used
}

// loopback returns where somebody can connect to on the loopback interface of this machine, but for name
// servers.
func loopback() (map[netip.AddrPort]bool, error) {
	list, err := procfs.Waiting()
	if err != nil {
		return nil, fmt.Errorf("what listens on this machine: %w", err)
	}
	all := map[netip.AddrPort]bool{}
	for _, l := range list {
		ip, port := l.Addr().Unmap(), l.Port()
		if port == nameless {
			continue
		}
		four := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		switch {
		case ip.IsLoopback():
			all[netip.AddrPortFrom(ip, port)] = true
		case ip == netip.IPv6Unspecified(): // most of them take both families
			all[netip.AddrPortFrom(netip.IPv6Loopback(), port)] = true
			all[netip.AddrPortFrom(four, port)] = true
		case ip.IsUnspecified():
			all[netip.AddrPortFrom(four, port)] = true
		}
	}
	return all, nil
}
