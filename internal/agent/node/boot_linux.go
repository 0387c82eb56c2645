package node

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Boot returns the name of this boot and the time since it, in a clock that no one can
// set and that runs on in sleep.
func Boot() (id string, since time.Duration) {
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		id = strings.TrimSpace(string(b))
	}
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) == nil {
		since = time.Duration(t.Nano())
	}
	return id, since
}
