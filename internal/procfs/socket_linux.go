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

// PeerOf returns the other end of c, a TCP connection between two processes of this machine and
// network namespace; fs.ErrNotExist when it is closed already.
func PeerOf(c net.Conn) (Socket, error) {
	local, ok1 := c.RemoteAddr().(*net.TCPAddr)
	remote, ok2 := c.LocalAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return Socket{}, fmt.Errorf("peer of %s: not a TCP connection", c.RemoteAddr())
	}
	// A socket of IPv6 may hold the connection: then both addresses are mapped.
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue // a kernel without IPv6
			}
			return Socket{}, err
		}
		if s, ok := find(b, local.AddrPort(), remote.AddrPort(), table == "tcp6"); ok {
			return s, nil
		}
	}
	return Socket{}, fmt.Errorf("peer of %s: %w", c.RemoteAddr(), fs.ErrNotExist)
}

// find looks in the text of /proc/net/tcp or tcp6 for the socket with these addresses.
func find(table []byte, local, remote netip.AddrPort, six bool) (Socket, bool) {
	const localAt, remoteAt, uidAt, inodeAt = 1, 2, 7, 9 // fields of a line, see proc(5)
	want := []byte(" " + form(local, six) + " " + form(remote, six) + " ")
	for line := range bytes.Lines(table) {
		if !bytes.Contains(line, want) {
			continue
		}
		f := strings.Fields(string(line))
		if len(f) <= inodeAt || f[localAt] != form(local, six) || f[remoteAt] != form(remote, six) {
			continue
		}
		uid, err := strconv.Atoi(f[uidAt])
		inode, err2 := strconv.ParseUint(f[inodeAt], 10, 64)
		if err == nil && err2 == nil && inode != 0 { // 0: closed by its process
			return Socket{uid, inode}, true
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

// Holds reports whether the process has s among its descriptors; fs.ErrPermission when this process
// may not look.
func (p Process) Holds(s Socket) (bool, error) {
	at := "/proc/" + strconv.Itoa(p.PID) + "/fd"
	dir, err := os.Open(at)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return false, err
	}
	want := fmt.Sprintf("socket:[%d]", s.Inode)
	for _, name := range names {
		link, err := os.Readlink(at + "/" + name)
		if errors.Is(err, fs.ErrPermission) {
			return false, err
		}
		if link == want {
			return true, nil
		}
	}
	return false, nil
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
