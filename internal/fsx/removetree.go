package fsx

import "os"

// RemoveTree removes dir and all in it, folders without write permission too, as the Go command
// leaves them, and folders in one another without end, as a build may leave them. A dir that is not
// there is not an error. It is for leftovers: nothing is made durable.
func RemoveTree(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	return removeForced(dir)
}
