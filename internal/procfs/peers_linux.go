package procfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Socket is a process's end of a connection, as the kernel knows it: nobody can claim another.
type Socket struct {
	UID   int // of the user who made it
	Inode uint64
}

// Peers finds the sockets of this machine and network namespace that are connected to a TCP address.
type Peers struct {
	at    netip.AddrPort
	table map[string]Socket // by their own addresses; nil: not read
}

// PeersOf returns the finder for the connections to at, a TCP address.
func PeersOf(at net.Addr) (*Peers, error) {
	addr, ok := at.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("peers of %s: not a TCP address", at)
	}
	return &Peers{at: addr.AddrPort()}, nil
}

// Of returns the other end of c, a connection to the address of p; false when no process has it any longer.
//
// It asks the kernel's socket monitoring (sock_diag(7)) for this one connection. Where that is missing it reads
// /proc/net/tcp, once for all connections of p, which takes as long as all sockets of the machine need: half a
// second with two thousand that come and go.
func (p *Peers) Of(c net.Conn) (Socket, bool, error) {
	remote, ok := c.RemoteAddr().(*net.TCPAddr)
	local, ok2 := c.LocalAddr().(*net.TCPAddr)
	if !ok || !ok2 {
		return Socket{}, false, fmt.Errorf("the peer of %s: not a TCP connection", c.RemoteAddr())
	}
	s, err := connected(remote.AddrPort(), local.AddrPort())
	if errors.Is(err, unix.ENOENT) {
		// So says a kernel without monitoring too. It knows our own end, which we have, if it knows any.
		if _, errOwn := connected(local.AddrPort(), remote.AddrPort()); errOwn == nil {
			return Socket{}, false, nil
		}
	}
	if err == nil {
		return s, s.Inode != 0, nil // 0: closed by its process
	}
	if p.table == nil {
		if p.table, err = readPeers(p.at); err != nil {
			return Socket{}, false, err
		}
	}
	for _, six := range []bool{false, true} {
		if s, ok := p.table[form(remote.AddrPort(), six)]; ok {
			return s, true, nil
		}
	}
	return Socket{}, false, nil
}

// connected returns the socket at local that is connected to remote; unix.ENOENT when there is none.
func connected(local, remote netip.AddrPort) (s Socket, err error) {
	from, to := local.Addr().Unmap(), remote.Addr().Unmap()
	r := diagRequest{family: unix.AF_INET, from: netip.AddrPortFrom(from, local.Port()), to: netip.AddrPortFrom(to, remote.Port())}
	if from.Is6() {
		r.family = unix.AF_INET6
	}
	err = r.ask(func(m []byte) {
		s = Socket{int(binary.NativeEndian.Uint32(m[diagUIDAt:])), uint64(binary.NativeEndian.Uint32(m[diagInodeAt:]))}
	})
	return s, err
}

// readPeers returns the sockets that are connected to at, by the text of the kernel's tables.
func readPeers(at netip.AddrPort) (map[string]Socket, error) {
	all := map[string]Socket{}
	// A socket of IPv6 may hold the connection: then both addresses are mapped.
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue // a kernel without IPv6
			}
			return nil, err
		}
		addPeers(all, b, form(at, table == "tcp6"))
	}
	return all, nil
}

// addPeers adds to all the sockets that are connected to remote, by the text of /proc/net/tcp or tcp6.
func addPeers(all map[string]Socket, table []byte, remote string) {
	const localAt, remoteAt, uidAt, inodeAt = 1, 2, 7, 9 // fields of a line, see proc(5)
	want := []byte(" " + remote + " ")
	for line := range bytes.Lines(table) {
		if !bytes.Contains(line, want) {
			continue
		}
		f := strings.Fields(string(line))
		if len(f) <= inodeAt || f[remoteAt] != remote {
			continue
		}
		uid, err := strconv.Atoi(f[uidAt])
		inode, err2 := strconv.ParseUint(f[inodeAt], 10, 64)
		if err == nil && err2 == nil && inode != 0 { // 0: closed by its process
			all[f[localAt]] = Socket{uid, inode}
		}
	}
}

// form writes an address as /proc/net/tcp does: words in the machine's byte order, in hex.
func form(a netip.AddrPort, six bool) string {
	b := a.Addr().Unmap().AsSlice()
	if six {
		long := a.Addr().As16()
		b = long[:]
	}
	var s strings.Builder
	const word = 4
	for w := range slices.Chunk(b, word) {
		fmt.Fprintf(&s, "%08X", binary.NativeEndian.Uint32(w))
	}
	fmt.Fprintf(&s, ":%04X", a.Port())
	return s.String()
}
