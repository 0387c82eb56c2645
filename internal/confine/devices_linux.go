package confine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is a device file that the processes of a control group may use.
type device struct {
	block        bool
	major, minor uint32
	anyMinor     bool
}

// everyones are the devices without hardware behind them: null, zero, full, random, urandom, tty, ptmx
// and terminals.
func everyones() []device {
	const memory, terminals, slaves = 1, 5, 136
	return []device{
		{major: memory, minor: 3},
		{major: memory, minor: 5},
		{major: memory, minor: 7},
		{major: memory, minor: 8},
		{major: memory, minor: 9},
		{major: terminals, minor: 0},
		{major: terminals, minor: 2},
		{major: slaves, anyMinor: true},
	}
}

// deviceOf returns the device that the file path stands for.
func deviceOf(path string) (device, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return device{}, fmt.Errorf("device %s: %w", path, err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFBLK && kind != unix.S_IFCHR {
		return device{}, fmt.Errorf("device %s: not a device file", path)
	}
	return device{block: kind == unix.S_IFBLK, major: unix.Major(st.Rdev), minor: unix.Minor(st.Rdev)}, nil
}

// AllowDevices lets the processes of the group use the devices without hardware behind them and those
// of the files paths, and no others: by the devices controller, or a program of the kernel's (v2).
func (g *Group) AllowDevices(paths []string) error {
	list := everyones()
	for _, p := range paths {
		d, err := deviceOf(p)
		if err != nil {
			return err
		}
		list = append(list, d)
	}
	switch {
	case g == nil:
		return errNoDevices
	case g.v1["devices"] != "":
		return allowV1(g.v1["devices"], list)
	case g.v2 != "":
		return allowV2(g.v2, list)
	}
	return errNoDevices
}

var errNoDevices = errors.New("no control group for devices")

func allowV1(dir string, list []device) error {
	if err := put(dir, "devices.deny", "a"); err != nil {
		return err
	}
	for _, d := range list {
		kind, minor := "c", fmt.Sprint(d.minor)
		if d.block {
			kind = "b"
		}
		if d.anyMinor {
			minor = "*"
		}
		if err := put(dir, "devices.allow", fmt.Sprintf("%s %d:%s rwm", kind, d.major, minor)); err != nil {
			return err
		}
	}
	return nil
}

// instruction is one of the kernel's eBPF: struct bpf_insn.
type instruction struct {
	op  uint8
	reg uint8 // source << 4 | destination
	off int16
	imm int32
}

// deviceProgram returns a program of the kind BPF_PROG_TYPE_CGROUP_DEVICE: 1 for the devices of
// list, else 0. Its argument in r1 is struct bpf_cgroup_dev_ctx.
func deviceProgram(list []device) []instruction {
	const (
		load      = unix.BPF_LDX | unix.BPF_MEM | unix.BPF_W
		notEqual  = unix.BPF_JMP | unix.BPF_JNE | unix.BPF_K
		move      = unix.BPF_ALU64 | unix.BPF_MOV | unix.BPF_K
		and       = unix.BPF_ALU64 | unix.BPF_AND | unix.BPF_K
		exit      = unix.BPF_JMP | unix.BPF_EXIT
		kindOff   = 0 // of access_type, whose low 16 bits are the kind
		majorOff  = 4
		minorOff  = 8
		blockKind = 1
		charKind  = 2
	)
	code := []instruction{
		{op: load, reg: 1<<4 | 2, off: kindOff},
		{op: and, reg: 2, imm: 0xffff},
		{op: load, reg: 1<<4 | 3, off: majorOff},
		{op: load, reg: 1<<4 | 4, off: minorOff},
	}
	for _, d := range list {
		kind := int32(charKind)
		if d.block {
			kind = blockKind
		}
		tests := []instruction{{op: notEqual, reg: 2, imm: kind}, {op: notEqual, reg: 3, imm: int32(d.major)}}
		if !d.anyMinor {
			tests = append(tests, instruction{op: notEqual, reg: 4, imm: int32(d.minor)})
		}
		for k := range tests { // to behind the two instructions that say yes
			tests[k].off = int16(len(tests) - k + 1)
		}
		code = append(append(code, tests...), instruction{op: move, imm: 1}, instruction{op: exit})
	}
	return append(code, instruction{op: move}, instruction{op: exit})
}

// allowV2 attaches deviceProgram to the control group of dir.
func allowV2(dir string, list []device) error {
	code, license := deviceProgram(list), []byte("Apache-2.0\x00")
	load := struct {
		kind, count    uint32
		code, license  uint64
		level, size    uint32
		text           uint64
		version, flags uint32
		name           [16]byte
		_              [64]byte
	}{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(code)),
		code: uint64(uintptr(unsafe.Pointer(&code[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	if errno != 0 {
		return fmt.Errorf("load the program for devices: %w", errno)
	}
	defer unix.Close(int(fd))
	at, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer at.Close()
	attach := struct{ target, program, kind, flags uint32 }{uint32(at.Fd()), uint32(fd), unix.BPF_CGROUP_DEVICE, 0}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attach)), unsafe.Sizeof(attach)); errno != 0 {
		return fmt.Errorf("attach the program for devices: %w", errno)
	}
	return nil
}
