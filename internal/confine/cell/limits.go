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

// Limits returns what a build that writes below dir may use of this machine. What is not asked for
// is Processes, Time, three quarters of the memory and half of what is free on the disk. What a
// repository asks for is bounded, by three quarters of either: it is not its to give away.
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

// within returns what was asked for, or else usual, and at most most; 0 = no limit, where the machine
// does not say what it has.
func within(asked, usual, most int64) int64 {
	switch {
	case asked == 0:
		return usual
	case most == 0:
		return asked
	}
	return min(asked, most)
}
