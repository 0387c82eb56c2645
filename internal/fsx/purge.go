package fsx

import "errors"

// ErrMount means that a folder is not removed because something is mounted there.
var ErrMount = errors.New("something is mounted there, which is not removed")

// Left is what Purge could not remove, and why.
type Left struct {
	Path string
	Err  error
}
