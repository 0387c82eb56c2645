package confine

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"overland/internal/confine/filter"
)

// surrender makes the calling thread, and what it starts, the user of s with the rights of s alone.
func surrender(s Spec, mapped bool) error {
	keep, err := capabilities(s.Caps)
	if err != nil {
		return err
	}
	if s.Privileged && len(s.Caps) == 0 {
		if os.Geteuid() == 0 {
			return become(s.User, mapped)
		}
		return nil
	}
	if err := restrict(keep, mapped, s.Privileged); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	if mapped || os.Geteuid() == 0 {
		if err := become(s.User, mapped); err != nil {
			return err
		}
	}
	if err := setCapabilities(keep); err != nil {
		return err
	}
	if s.Filter == FilterOff {
		return nil
	}
	if err := installFilters(s); err != nil {
		return &UnableError{SystemCallFilters, "the kernel needs CONFIG_SECCOMP_FILTER", err}
	}
	return nil
}

// setCapabilities leaves the calling thread, and what it starts, those of keep.
func setCapabilities(keep uint64) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low, high := uint32(keep), uint32(keep>>32)
	data := [2]unix.CapUserData{{Effective: low, Permitted: low, Inheritable: low}, {Effective: high, Permitted: high, Inheritable: high}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if keep&(1<<c) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return fmt.Errorf("keep capability %d: %w", c, err)
		}
	}
	return nil
}

// installFilters puts the filters of s on the calling thread, the default one last: it allows no other.
func installFilters(s Spec) error {
	if s.NoSetID {
		if err := filter.InstallNoSetID(); err != nil {
			return err
		}
	}
	return filter.Install(s.Caps)
}

// restrict sees to it that no program gives more rights than keep.
func restrict(keep uint64, mapped, privileged bool) error {
	if privileged {
		return nil
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL && (mapped || os.Geteuid() == 0) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return nil
}

// become makes the calling thread the user u: the thread alone,
// unlike the calls of package syscall.
func become(u User, mapped bool) error {
	groups := make([]uint32, len(u.Groups))
	for k, g := range u.Groups {
		groups[k] = uint32(g)
	}
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(sysSetgroups, uintptr(len(groups)), uintptr(first), 0); errno != 0 && !(mapped && errno == unix.EPERM) {
		return fmt.Errorf("set groups: %w", errno)
	}
	g, id := uintptr(u.Group), uintptr(u.ID)
	if _, _, errno := unix.RawSyscall(sysSetresgid, g, g, g); errno != 0 {
		return fmt.Errorf("become group %d: %w", u.Group, errno)
	}
	if _, _, errno := unix.RawSyscall(sysSetresuid, id, id, id); errno != 0 {
		return fmt.Errorf("become user %d: %w", u.ID, errno)
	}
	return nil
}

// setLimits limits this process and what it starts.
func setLimits(l Limits, grouped, service bool) error {
	set := map[int]uint64{}
	if service && l.Files == 0 { // not what the agent was given for itself; what service managers give
		const soft, hard = 1024, 1 << 19
		if err := limit(unix.RLIMIT_NOFILE, soft, hard); err != nil {
			return err
		}
	}
	if !l.Core {
		set[unix.RLIMIT_CORE] = 0
	}
	if l.Files > 0 {
		set[unix.RLIMIT_NOFILE] = uint64(l.Files)
	}
	if l.FileSize > 0 {
		set[unix.RLIMIT_FSIZE] = uint64(l.FileSize)
	}
	if !grouped && l.Memory > 0 {
		set[unix.RLIMIT_DATA] = uint64(l.Memory)
	}
	if !grouped && l.Processes > 0 {
		const more = 64 // threads of the keeper; and so that watch sees who is over it
		set[unix.RLIMIT_NPROC] = uint64(l.Processes) + more
	}
	for which, most := range set {
		if err := limit(which, most, most); err != nil {
			return err
		}
	}
	return nil
}

// limit sets a limit, to what the machine allows at most.
func limit(which int, soft, hard uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(which, &now); err == nil && os.Geteuid() != 0 {
		hard = min(hard, now.Max)
	}
	r := unix.Rlimit{Cur: min(soft, hard), Max: hard}
	// Not syscall.Setrlimit: ForkExec would give the command the
	// limit that this process had before.
	err := unix.Prlimit(0, which, &r, nil)
	if errors.Is(err, unix.EPERM) { // no right, or more than the machine gives to anybody
		r = unix.Rlimit{Cur: min(soft, now.Max), Max: min(hard, now.Max)}
		err = unix.Prlimit(0, which, &r, nil)
	}
	if err != nil {
		return fmt.Errorf("set limit %d: %w", which, err)
	}
	return nil
}
