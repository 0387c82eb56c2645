package procfs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

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
	var all []Process
	_ = Each(func(p Process) { all = append(all, p) })
	return below(all, pid)
}

// Around returns, of one look at the machine, what Below does, and all other live processes, pid itself
// among them.
func Around(pid int) (under, others []Process, err error) {
	err = Each(func(p Process) { others = append(others, p) })
	under = below(others, pid)
	ours := map[int]bool{}
	for _, p := range under {
		ours[p.PID] = true
	}
	return under, slices.DeleteFunc(others, func(p Process) bool { return ours[p.PID] || p.Dead() }), err
}

// below returns the live processes of all that descend from pid, parents before their children.
func below(all []Process, pid int) []Process {
	children := map[int][]Process{}
	for _, p := range all {
		if !p.Dead() {
			children[p.Parent] = append(children[p.Parent], p)
		}
	}
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
