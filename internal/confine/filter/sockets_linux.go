package filter

import "golang.org/x/sys/unix"

// InstallNoSockets puts a filter on the calling thread that refuses new sockets: some servers believe
// root, whatever it gave up. It stands beside the default filter; the kernel takes the strictest answer.
func InstallNoSockets() error {
	var a assembler
	for _, t := range filterTables {
		next := a.label()
		a.load(offsetArch)
		a.jump(unix.BPF_JEQ, t.audit, 0, next)
		a.load(offsetCall)
		for _, c := range socketCalls[t.audit] {
			a.in(callRange{c, c}, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
		}
		a.ret(unix.SECCOMP_RET_ALLOW)
		a.set(next)
	}
	a.ret(unix.SECCOMP_RET_KILL_PROCESS)
	program, err := a.finish()
	if err != nil {
		return err
	}
	return install(program)
}

// socketCalls are the calls that make sockets, by AUDIT_ARCH_…; socket, and socketcall where there is one.
var socketCalls = map[uint32][]uint32{
	0xc000003e: {41},       // x86-64
	0x40000003: {359, 102}, // i386
	0x40000028: {281},      // arm
	0xc00000b7: {198},      // arm64
}
