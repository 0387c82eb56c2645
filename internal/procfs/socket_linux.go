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
)

// Socket is a process's end of a connection, as the kernel knows it: nobody can claim another.
type Socket struct {
	UID   int // of the user who made it
	Inode uint64
}

// Peers are the sockets that are connected to one address of this machine, by their own.
type Peers map[string]Socket

// PeersOf returns the sockets of this machine and network namespace that are connected to at, a TCP
// address. It costs one look, however many there are.
func PeersOf(at net.Addr) (Peers, error) {
	addr, ok := at.(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("peers of %s: not a TCP address", at)
	}
	all := Peers{}
	// A socket of IPv6 may hold the connection: then both addresses are mapped.
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue // a kernel without IPv6
			}
			return nil, err
		}
		all.add(b, form(addr.AddrPort(), table == "tcp6"))
	}
	return all, nil
}

// add adds the sockets that are connected to remote, by the text of /proc/net/tcp or tcp6.
func (p Peers) add(table []byte, remote string) {
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
			p[f[localAt]] = Socket{uid, inode}
		}
	}
}

// Of returns the other end of c, a connection to the address of p; false when it is closed already.
func (p Peers) Of(c net.Conn) (Socket, bool) {
	local, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return Socket{}, false
	}
	for _, six := range []bool{false, true} {
		if s, ok := p[form(local.AddrPort(), six)]; ok {
			return s, true
		}
	}
	return Socket{}, false
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

// Sockets returns the inodes of the sockets among the descriptors of the process; fs.ErrPermission
// when this process may not look.
func (p Process) Sockets() ([]uint64, error) {
	at := "/proc/" + strconv.Itoa(p.PID) + "/fd"
	dir, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []uint64
	for _, name := range names {
		link, err := os.Readlink(at + "/" + name)
		if errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		number, ok := strings.CutPrefix(link, "socket:[")
		if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); ok && err == nil {
			list = append(list, inode)
		}
	}
	return list, nil
}

// Is reports whether the process runs as the user uid, by any of its four ids: real, effective,
// saved, and that of the file system.
func (p Process) Is(uid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			return slices.Contains(strings.Fields(ids), strconv.Itoa(uid))
		}
	}
	return false
}

// Below returns the live processes that descend from process pid, parents before their children.
func Below(pid int) []Process {
	children := map[int][]Process{}
	_ = Each(func(p Process) {
		if !p.Dead() {
			children[p.Parent] = append(children[p.Parent], p)
		}
	})
	list := slices.Clone(children[pid])
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i].PID]...)
	}
	return list
}

// Sender returns the name of the process below the process pid that has the socket which, in the
// network namespace of that process, sends from an address by protocol, tcp or udp; "" when there is
// none, or no longer.
func Sender(pid int, protocol string, from netip.AddrPort) string {
	inodes := map[uint64]bool{}
	for six, table := range map[bool]string{false: protocol, true: protocol + "6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			continue // a kernel without IPv6
		}
		all := netip.IPv4Unspecified()
		if six {
			all = netip.IPv6Unspecified()
		}
		const localAt, inodeAt = 1, 9 // fields of a line, see proc(5)
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) <= inodeAt || f[localAt] != form(from, six) && f[localAt] != form(netip.AddrPortFrom(all, from.Port()), six) {
				continue
			}
			if inode, err := strconv.ParseUint(f[inodeAt], 10, 64); err == nil && inode != 0 {
				inodes[inode] = true
			}
		}
	}
	if len(inodes) == 0 {
		return ""
	}
	for _, p := range Below(pid) {
		list, _ := p.Sockets() // some may not be looked into
		if slices.ContainsFunc(list, func(inode uint64) bool { return inodes[inode] }) {
			return p.name()
		}
	}
	return ""
}

// name returns what the process calls itself, in 15 bytes.
func (p Process) name() string {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/comm")
	return strings.TrimSuffix(string(b), "\n")
}
