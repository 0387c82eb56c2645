package filter

import (
	"testing"

	"golang.org/x/sys/unix"
)

// call is what the kernel shows a filter: struct seccomp_data.
type call struct {
	nr, arch uint32
	args     [6]uint64
}

// answer runs a filter as the kernel does.
func answer(t *testing.T, code []unix.SockFilter, c call) uint32 {
	t.Helper()
	word := func(at uint32) uint32 {
		switch {
		case at == offsetCall:
			return c.nr
		case at == offsetArch:
			return c.arch
		case at < offsetArgs || at >= offsetArgs+8*6 || at%4 != 0:
			t.Fatalf("it reads at %d", at)
		}
		return uint32(c.args[(at-offsetArgs)/8] >> (8 * (at % 8))) // little-endian: the low word first
	}
	var a uint32
	branch := func(holds bool, i unix.SockFilter) int {
		if holds {
			return int(i.Jt)
		}
		return int(i.Jf)
	}
	for at := 0; at < len(code); at++ {
		switch i := code[at]; i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = word(i.K)
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(i.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			at += branch(a == i.K, i)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			at += branch(a >= i.K, i)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			at += branch(a > i.K, i)
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("%d: %+v", at, i)
		}
	}
	t.Fatal("it has no end")
	return 0
}

const (
	allow   = uint32(unix.SECCOMP_RET_ALLOW)
	refuse  = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.EPERM)
	unknown = uint32(unix.SECCOMP_RET_ERRNO) | uint32(unix.ENOSYS)
	killed  = uint32(unix.SECCOMP_RET_KILL_PROCESS)
)

// Each kind of rule, at its edges, in both halves of an argument.
func TestRules(t *testing.T) {
	const high = 1 << 32
	when := func(op operator, value, second uint64) []callArg {
		return []callArg{{index: 2, op: op, value: value, second: second}}
	}
	one := func(n uint32) []callRange { return []callRange{{n, n}} }
	tables := []callTable{
		{audit: 7, last: 100, rules: []callRule{
			{calls: []callRange{{3, 3}, {5, 8}}},
			{calls: one(20), args: when(equal, high+5, 0)},
			{calls: one(21), args: when(notEqual, high+5, 0)},
			{calls: one(22), args: when(less, high+5, 0)},
			{calls: one(23), args: when(masked, high|6, high|2)},
			{calls: one(24), args: []callArg{{index: 0, op: equal, value: 1}, {index: 5, op: equal, value: 2}}},
			{calls: one(25), errno: 38},
			{calls: one(26), caps: []string{"A", "B"}},
			{calls: one(27), without: []string{"A", "X"}},
			{calls: one(28), kernel: [2]int{4, 8}},
			{calls: one(29), kernel: [2]int{4, 9}},
			{calls: one(30), kernel: [2]int{5, 0}},
			{calls: []callRange{{40, 42}}, args: when(equal, 1, 0)},
		}},
		{audit: 8, last: 2, rules: []callRule{{calls: one(1)}}},
	}
	code := func(caps ...string) []unix.SockFilter {
		t.Helper()
		code, err := assemble(tables, caps, [2]int{4, 8})
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	none, some, both := code(), code("A"), code("A", "B")
	arg := func(v uint64) [6]uint64 { return [6]uint64{2: v} }
	for name, test := range map[string]struct {
		code []unix.SockFilter
		call call
		want uint32
	}{
		"below": {none, call{2, 7, arg(0)}, refuse}, "the one": {none, call{3, 7, arg(0)}, allow}, "between": {none, call{4, 7, arg(0)}, refuse},
		"first": {none, call{5, 7, arg(0)}, allow}, "last": {none, call{8, 7, arg(0)}, allow}, "after": {none, call{9, 7, arg(0)}, refuse},
		"the newest": {none, call{100, 7, arg(0)}, refuse}, "newer": {none, call{101, 7, arg(0)}, unknown}, "the newest of all": {none, call{^uint32(0), 7, arg(0)}, unknown},
		"of another machine": {none, call{3, 9, arg(0)}, killed}, "of the second": {none, call{1, 8, arg(0)}, allow}, "not of the second": {none, call{3, 8, arg(0)}, unknown},
		"equal": {none, call{20, 7, arg(high + 5)}, allow}, "low half": {none, call{20, 7, arg(5)}, refuse}, "high half": {none, call{20, 7, arg(high + 4)}, refuse},
		"not equal": {none, call{21, 7, arg(high + 5)}, refuse}, "not low": {none, call{21, 7, arg(high + 4)}, allow}, "not high": {none, call{21, 7, arg(5)}, allow},
		"less": {none, call{22, 7, arg(high + 4)}, allow}, "as much": {none, call{22, 7, arg(high + 5)}, refuse}, "less by its high half": {none, call{22, 7, arg(9)}, allow},
		"more by its high half": {none, call{22, 7, arg(2*high + 1)}, refuse},
		"masked":                {none, call{23, 7, arg(high | 2 | 8)}, allow}, "masked low": {none, call{23, 7, arg(high | 6)}, refuse}, "masked high": {none, call{23, 7, arg(2)}, refuse},
		"both arguments": {none, call{24, 7, [6]uint64{1, 0, 0, 0, 0, 2}}, allow}, "the first": {none, call{24, 7, [6]uint64{0: 1}}, refuse}, "the second": {none, call{24, 7, [6]uint64{5: 2}}, refuse},
		"an error": {none, call{25, 7, arg(0)}, unknown},
		"no right": {none, call{26, 7, arg(0)}, refuse}, "one right": {some, call{26, 7, arg(0)}, refuse}, "both rights": {both, call{26, 7, arg(0)}, allow},
		"without": {none, call{27, 7, arg(0)}, allow}, "with": {some, call{27, 7, arg(0)}, refuse},
		"new enough": {none, call{28, 7, arg(0)}, allow}, "not new enough": {none, call{29, 7, arg(0)}, refuse}, "by far": {none, call{30, 7, arg(0)}, refuse},
		"a range, first": {none, call{40, 7, arg(1)}, allow}, "a range, last": {none, call{42, 7, arg(1)}, allow}, "a range, otherwise": {none, call{41, 7, arg(2)}, refuse},
		"before a range": {none, call{39, 7, arg(1)}, refuse}, "after a range": {none, call{43, 7, arg(1)}, refuse},
	} {
		if got := answer(t, test.code, test.call); got != test.want {
			t.Errorf("%s: %#x, want %#x", name, got, test.want)
		}
	}
}

// A program that the kernel would not take is refused with its size.
func TestAFilterHasAnEnd(t *testing.T) {
	var many []callRange
	for n := range uint32(3000) {
		many = append(many, callRange{2 * n, 2 * n})
	}
	if _, err := assemble([]callTable{{audit: 7, last: 1 << 20, rules: []callRule{{calls: many}}}}, nil, [2]int{}); err == nil {
		t.Error("too long")
	}
	var a assembler
	back := a.label()
	a.set(back)
	a.long(back)
	if _, err := a.finish(); err == nil {
		t.Error("it goes back")
	}
	if v := kernelVersion(); v[0] < 3 {
		t.Errorf("Linux %v", v)
	}
}

// On every kind of machine, in 32-bit programs too, what sets the bits is refused, and nothing else.
func TestSetIDBits(t *testing.T) {
	var tables []callTable
	for audit := range setIDCalls {
		tables = append(tables, callTable{audit: audit})
	}
	program, err := withoutSetID(tables)
	if err != nil {
		t.Fatal(err)
	}
	for audit, list := range setIDCalls {
		for _, c := range list {
			for mode, want := range map[uint64]uint32{0o755: allow, 0o4755: refuse, 0o2755: refuse, 0o6755: refuse, 0o1777: allow} {
				var args [6]uint64
				args[c.mode] = mode
				if c.flags == 0 {
					if got := answer(t, program, call{c.call, audit, args}); got != want {
						t.Errorf("%#x: call %d with %o: %#x", audit, c.call, mode, got)
					}
					continue
				}
				for flags, made := range map[uint64]bool{unix.O_RDONLY: false, unix.O_CREAT | unix.O_WRONLY: true, tmpfile | unix.O_RDWR: true} {
					args[c.flags] = flags
					want := want
					if !made {
						want = allow
					}
					if got := answer(t, program, call{c.call, audit, args}); got != want {
						t.Errorf("%#x: call %d with %#x, %o: %#x", audit, c.call, flags, mode, got)
					}
				}
			}
		}
		if got := answer(t, program, call{openat2, audit, [6]uint64{}}); got != unknown {
			t.Errorf("%#x: openat2: %#x", audit, got)
		}
		if got := answer(t, program, call{1000, audit, [6]uint64{1: 0o4755}}); got != allow {
			t.Errorf("%#x: another call: %#x", audit, got)
		}
	}
	if got := answer(t, program, call{1, 5, [6]uint64{}}); got != killed {
		t.Errorf("another machine: %#x", got)
	}
}
