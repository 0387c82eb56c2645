package filter

import (
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

//go:generate sh ../../../tools/seccomp/generate

// callTable is a filter for one kind of system calls that the machine's kernel answers: its own, or
// those of its 32-bit programs.
type callTable struct {
	audit uint32 // AUDIT_ARCH_…
	last  int    // the newest call that the table's maker knew; later ones "do not exist"
	rules []callRule
}

// callRule allows calls, or fails them with errno. It counts when the command keeps all of caps and
// none of without, and the kernel is new enough.
type callRule struct {
	calls         []callRange
	args          []callArg // all must hold
	caps, without []string
	kernel        [2]int
	errno         uint16
}

// callRange is the numbers from first to last.
type callRange struct{ first, last uint32 }

// callArg is a condition on an argument: compared with value, or masked by value and then compared
// with second.
type callArg struct {
	index  uint32
	op     operator
	value  uint64
	second uint64
}

type operator int

const (
	equal operator = iota
	notEqual
	less
	masked
)

// Install puts the filter on the calling thread: all that it starts has it too. caps are the
// capabilities that stay, such as "CAP_SYS_TIME": the profile allows some calls with them only.
// An error of the kernel means that it has no CONFIG_SECCOMP_FILTER.
func Install(caps []string) error {
	program, err := assemble(filterTables, caps, kernelVersion())
	if err != nil {
		return err
	}
	return install(program)
}

// install puts a filter on the calling thread, beside those that it has.
func install(program []unix.SockFilter) error {
	p := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&p)), 0, 0)
}

// kernelVersion returns the first two numbers of the kernel's release.
func kernelVersion() (v [2]int) {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &v[0], &v[1])
	}
	return v
}

// What seccomp's BPF reads: struct seccomp_data. All our CPUs are little-endian.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// assemble returns the filter program of tables.
func assemble(tables []callTable, caps []string, kernel [2]int) ([]unix.SockFilter, error) {
	var a assembler
	for _, t := range tables {
		next := a.label()
		a.load(offsetArch)
		a.jump(unix.BPF_JEQ, t.audit, 0, next)
		var simple []callRange
		for _, r := range t.rules {
			if r.counts(caps, kernel) && len(r.args) == 0 && r.errno == 0 {
				simple = append(simple, r.calls...)
			}
		}
		a.load(offsetCall)
		for _, c := range simple {
			a.in(c, unix.SECCOMP_RET_ALLOW)
		}
		for _, r := range t.rules {
			if !r.counts(caps, kernel) || len(r.args) == 0 && r.errno == 0 {
				continue
			}
			action := uint32(unix.SECCOMP_RET_ALLOW)
			if r.errno != 0 {
				action = unix.SECCOMP_RET_ERRNO | uint32(r.errno)
			}
			for _, c := range r.calls {
				a.conditional(c, r.args, action)
			}
		}
		a.in(callRange{uint32(t.last) + 1, ^uint32(0)}, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS))
		a.ret(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
		a.set(next)
	}
	a.ret(unix.SECCOMP_RET_KILL_PROCESS)
	return a.finish()
}

func (r callRule) counts(caps []string, kernel [2]int) bool {
	for _, c := range r.caps {
		if !slices.Contains(caps, c) {
			return false
		}
	}
	for _, c := range r.without {
		if slices.Contains(caps, c) {
			return false
		}
	}
	return slices.Compare(kernel[:], r.kernel[:]) >= 0
}

// assembler writes a BPF program. Its jumps to labels are long ones: a conditional jump reaches 255
// instructions only.
type assembler struct {
	code   []unix.SockFilter
	labels []int       // label → instruction
	goals  map[int]int // instruction of a long jump → label
}

func (a *assembler) add(code uint16, k uint32, jt, jf uint8) {
	a.code = append(a.code, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

func (a *assembler) load(offset uint32) { a.add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, offset, 0, 0) }
func (a *assembler) ret(action uint32)  { a.add(unix.BPF_RET|unix.BPF_K, action, 0, 0) }

// label returns a new label; set gives it the place of the next instruction.
func (a *assembler) label() int {
	a.labels = append(a.labels, -1)
	return len(a.labels) - 1
}

func (a *assembler) set(label int) { a.labels[label] = len(a.code) }

// jump compares what was loaded with k: when it holds the program goes on after skip instructions,
// else at label.
func (a *assembler) jump(op uint16, k uint32, skip uint8, label int) {
	a.add(unix.BPF_JMP|unix.BPF_K|op, k, 1+skip, 0)
	a.long(label)
}

func (a *assembler) long(label int) {
	if a.goals == nil {
		a.goals = map[int]int{}
	}
	a.goals[len(a.code)] = label
	a.add(unix.BPF_JMP|unix.BPF_JA, 0, 0, 0)
}

// in returns action for the calls of c; the number is loaded.
func (a *assembler) in(c callRange, action uint32) {
	if c.first == c.last {
		a.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, c.first, 0, 1)
	} else {
		a.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, c.first, 0, 2)
		a.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, c.last, 1, 0)
	}
	a.ret(action)
}

// conditional returns action for the calls of c whose arguments are args; the number is loaded, and
// is loaded again behind it.
func (a *assembler) conditional(c callRange, args []callArg, action uint32) {
	next := a.label()
	a.jump(unix.BPF_JGE, c.first, 0, next)
	a.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, c.last, 0, 1)
	a.long(next)
	for _, arg := range args {
		low := offsetArgs + 8*arg.index
		a.compare(low, arg, next)
	}
	a.ret(action)
	a.set(next)
	a.load(offsetCall)
}

// compare goes on when the 64-bit argument at low is what arg says, else at label.
func (a *assembler) compare(low uint32, arg callArg, label int) {
	const half, word = 32, 4
	value, mask := arg.value, ^uint64(0)
	if arg.op == masked {
		mask, value = arg.value, arg.second
	}
	part := func(offset uint32, shift int) {
		a.load(offset)
		if m := uint32(mask >> shift); m != ^uint32(0) {
			a.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, m, 0, 0)
		}
	}
	switch arg.op {
	case equal, masked:
		for _, p := range []struct {
			offset uint32
			shift  int
		}{{low + word, half}, {low, 0}} {
			part(p.offset, p.shift)
			a.jump(unix.BPF_JEQ, uint32(value>>p.shift), 0, label)
		}
	case notEqual:
		holds := a.label()
		a.load(low + word)
		a.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, uint32(value>>half), 1, 0)
		a.long(holds)
		a.load(low)
		a.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, uint32(value), 0, 1)
		a.long(label)
		a.set(holds)
	case less:
		holds := a.label()
		a.load(low + word)
		a.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, uint32(value>>half), 1, 0)
		a.long(holds) // smaller already
		a.jump(unix.BPF_JEQ, uint32(value>>half), 0, label)
		a.load(low)
		a.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, uint32(value), 0, 1)
		a.long(label)
		a.set(holds)
	}
}

// finish returns the program with its long jumps filled in.
func (a *assembler) finish() ([]unix.SockFilter, error) {
	const most = 4096 // instructions: the kernel's limit
	for at, label := range a.goals {
		to := a.labels[label]
		if to <= at {
			return nil, fmt.Errorf("confine: a jump of the filter that goes back")
		}
		a.code[at].K = uint32(to - at - 1)
	}
	if len(a.code) > most {
		return nil, fmt.Errorf("confine: a filter of %d instructions", len(a.code))
	}
	return a.code, nil
}
