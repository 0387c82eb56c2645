package cell

import (
	"cmp"
	"time"

	"overland/internal/confine"
	"overland/internal/fsx"
)

// What a build may use when it does not say, and at most, beside shares of the machine.
const (
	Processes     = 4096
	MostProcesses = 32768
	Time          = 6 * time.Hour
	MostTime      = 48 * time.Hour
)

// Limits returns what a build that writes below dir may use of this machine. The defaults are
// Processes, Time, three quarters of the memory and half of what is free on the disk. A repository
// may ask for three quarters of either at most: the machine is not its to give away.
func Limits(asked confine.Limits, dir string) confine.Limits {
	const part, whole, half = 3, 4, 2
	memory := memory() / whole * part
	free, err := fsx.Free(dir)
	if err != nil {
		free = 0
	}
	asked.Memory = within(asked.Memory, memory, memory)
	asked.Processes = min(cmp.Or(asked.Processes, Processes), MostProcesses)
	asked.Disk = within(asked.Disk, free/half, free/whole*part)
	asked.Time = min(cmp.Or(asked.Time, Time), MostTime)
	return asked
}

// within returns asked, or usual when nothing was asked for, and never more than most; most = 0 is
// no bound: the machine does not say what it has.
func within(asked, usual, most int64) int64 {
	switch {
	case asked == 0:
		return usual
	case most == 0:
		return asked
	}
	return min(asked, most)
}
