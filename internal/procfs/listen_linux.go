package procfs

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Listener is a socket that waits for others at an address: a TCP one that listens, a UDP one that is
// bound and not connected.
type Listener struct {
	Socket
	At netip.AddrPort
}

// Listeners returns those of this network namespace at port of protocol, "tcp" or "udp", on any
// address; port 0 is every port. It is fs.ErrNotExist where the kernel does not tell.
func Listeners(protocol string, port int) ([]Listener, error) {
	state := map[string]string{"tcp": "0A", "udp": "07"}[protocol] // TCP_LISTEN; TCP_CLOSE: not connected
	var list []Listener
	b, err := os.ReadFile("/proc/self/net/" + protocol)
	if err != nil {
		return nil, err
	}
	list = listening(list, b, state, port)
	if b, err = os.ReadFile("/proc/self/net/" + protocol + "6"); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return list, nil // a kernel without IPv6
		}
		return nil, err
	}
	return listening(list, b, state, port), nil
}

// listening adds to list the lines of table, the text of /proc/net/tcp or its like, that are in state at port,
// or at any for 0.
func listening(list []Listener, table []byte, state string, port int) []Listener {
	const localAt, stateAt, uidAt, inodeAt = 1, 3, 7, 9 // fields of a line, see proc(5)
	want, inState := fmt.Appendf(nil, ":%04X ", port), []byte(" "+state+" ")
	for line := range bytes.Lines(table) {
		if port != 0 && !bytes.Contains(line, want) || !bytes.Contains(line, inState) {
			continue
		}
		f := strings.Fields(string(line))
		if len(f) <= inodeAt || f[stateAt] != state {
			continue
		}
		at, err := address(f[localAt])
		uid, err1 := strconv.Atoi(f[uidAt])
		inode, err2 := strconv.ParseUint(f[inodeAt], 10, 64)
		if errors.Join(err, err1, err2) == nil && (port == 0 || int(at.Port()) == port) {
			list = append(list, Listener{Socket{uid, inode}, at})
		}
	}
	return list
}

// address is the reverse of form.
func address(s string) (netip.AddrPort, error) {
	text, port, _ := strings.Cut(s, ":")
	words, err := hex.DecodeString(text)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err = errors.Join(err, err2); err != nil {
		return netip.AddrPort{}, err
	}
	const word = 4
	for w := range slices.Chunk(words, word) {
		if len(w) == word {
			binary.BigEndian.PutUint32(w, binary.NativeEndian.Uint32(w))
		}
	}
	addr, ok := netip.AddrFromSlice(words)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// Holders returns a process that holds each of the sockets, as far as this process may look.
func Holders(inodes []uint64) map[uint64]Process {
	found := map[uint64]Process{}
	_ = Each(func(p Process) {
		if len(found) == len(inodes) {
			return
		}
		held, _ := p.Sockets()
		for _, inode := range held {
			if _, known := found[inode]; !known && slices.Contains(inodes, inode) {
				found[inode] = p
			}
		}
	})
	return found
}

// Name returns the first 15 bytes of the name of p's program; "" when it has ended.
func (p Process) Name() string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/comm") // the kernel keeps it to one line
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
