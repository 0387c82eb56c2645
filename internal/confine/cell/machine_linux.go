package cell

import "golang.org/x/sys/unix"

// memory returns the bytes of memory of this machine; 0 = it does not say.
func memory() int64 {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return 0
	}
	return int64(s.Totalram) * int64(s.Unit)
}
