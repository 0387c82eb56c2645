package sysinfo

import "golang.org/x/sys/cpu"

// cpuid asks the CPU; cpu_amd64.s.
func cpuid(leaf, sub uint32) (a, b, c, d uint32)

// cpuLevel returns the level of the x86-64 psABI that this CPU and kernel reach.
func cpuLevel() string {
	_, _, basic, _ := cpuid(1, 0)
	extended := uint32(0)
	const first = 0x80000000
	if last, _, _, _ := cpuid(first, 0); last > first {
		_, _, extended, _ = cpuid(first+1, 0)
	}
	// golang.org/x/sys/cpu has what it needs itself, with the kernel's word on
	// the wide registers; not these.
	const movbe, f16c, lahf, lzcnt = 1 << 22, 1 << 29, 1 << 0, 1 << 5
	x := cpu.X86
	switch {
	case !x.HasSSE3 || !x.HasSSSE3 || !x.HasSSE41 || !x.HasSSE42 || !x.HasPOPCNT || !x.HasCX16 || extended&lahf == 0:
		return "x86-64-v1"
	case !x.HasAVX || !x.HasAVX2 || !x.HasBMI1 || !x.HasBMI2 || !x.HasFMA || !x.HasOSXSAVE ||
		basic&movbe == 0 || basic&f16c == 0 || extended&lzcnt == 0:
		return "x86-64-v2"
	case !x.HasAVX512F || !x.HasAVX512BW || !x.HasAVX512CD || !x.HasAVX512DQ || !x.HasAVX512VL:
		return "x86-64-v3"
	}
	return "x86-64-v4"
}
