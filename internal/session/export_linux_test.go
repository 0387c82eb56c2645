package session

import (
	"net"

	"overland/internal/procfs"
)

// Guard returns l for processes below the process above; peers is called for each look at the machine.
func Guard(l net.Listener, above int, peers func(net.Addr) (*procfs.Peers, error)) net.Listener {
	g := newGuard(l, above)
	g.peers = peers
	return g
}
