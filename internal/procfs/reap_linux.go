package procfs

import (
	"errors"
	"syscall"
)

// Death is a child of this process that has ended.
type Death struct {
	PID    int
	Status syscall.WaitStatus
}

// Reap collects every child of this process that ends, and closes deaths when none is left.
func Reap(deaths chan<- Death) {
	defer close(deaths)
	for {
		var d Death
		var err error
		if d.PID, err = syscall.Wait4(-1, &d.Status, 0, nil); err == nil {
			deaths <- d
		} else if !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}
