package filter

import "golang.org/x/sys/unix"

// InstallNoSetID puts a filter on the calling thread that refuses set-user-ID and set-group-ID bits:
// the owner of what a build leaves is the person who started it, to every other user of the machine.
// It stands beside the default filter; the kernel takes the strictest answer.
func InstallNoSetID() error {
	program, err := withoutSetID(filterTables)
	if err != nil {
		return err
	}
	return install(program)
}

// withoutSetID returns the filter for the kinds of calls in tables.
func withoutSetID(tables []callTable) ([]unix.SockFilter, error) {
	var a assembler
	for _, t := range tables {
		next := a.label()
		a.load(offsetArch)
		a.jump(unix.BPF_JEQ, t.audit, 0, next)
		a.load(offsetCall)
		for _, c := range setIDCalls[t.audit] {
			for _, bit := range []uint64{unix.S_ISUID, unix.S_ISGID} {
				mode := callArg{index: c.mode, op: masked, value: bit, second: bit}
				if c.flags == 0 {
					a.conditional(callRange{c.call, c.call}, []callArg{mode}, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
					continue
				}
				for _, makes := range []uint64{unix.O_CREAT, tmpfile} { // else there is no mode
					flag := callArg{index: c.flags, op: masked, value: makes, second: makes}
					a.conditional(callRange{c.call, c.call}, []callArg{flag, mode}, unix.SECCOMP_RET_ERRNO|uint32(unix.EPERM))
				}
			}
		}
		a.in(callRange{openat2, openat2}, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)) // its mode is in memory
		a.ret(unix.SECCOMP_RET_ALLOW)
		a.set(next)
	}
	a.ret(unix.SECCOMP_RET_KILL_PROCESS)
	return a.finish()
}

const (
	openat2 = 437        // its number, on every CPU
	tmpfile = 0o20000000 // O_TMPFILE without O_DIRECTORY, which differs
)

// setIDCall is a system call with the mode of a file, and of one that opens files where its flags are.
type setIDCall struct{ call, mode, flags uint32 }

// setIDCalls are the calls by AUDIT_ARCH_…; chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat,
// open, openat.
var setIDCalls = map[uint32][]setIDCall{
	0xc000003e: {{90, 1, 0}, {91, 1, 0}, {268, 2, 0}, {452, 2, 0}, {85, 1, 0}, {133, 1, 0}, {259, 2, 0}, {2, 2, 1}, {257, 3, 2}}, // x86-64
	0x40000003: {{15, 1, 0}, {94, 1, 0}, {306, 2, 0}, {452, 2, 0}, {8, 1, 0}, {14, 1, 0}, {297, 2, 0}, {5, 2, 1}, {295, 3, 2}},   // i386
	0x40000028: {{15, 1, 0}, {94, 1, 0}, {333, 2, 0}, {452, 2, 0}, {8, 1, 0}, {14, 1, 0}, {324, 2, 0}, {5, 2, 1}, {322, 3, 2}},   // arm
	0xc00000b7: {{52, 1, 0}, {53, 2, 0}, {452, 2, 0}, {33, 2, 0}, {56, 3, 2}},                                                    // arm64
}
