package golang

import (
	"errors"
	"io/fs"

	"overland/internal/spec"
)

// Propose returns an App for the Go commands found in dir, for overland init: every command is an artifact, the
// likeliest one is a service that must stay up for 10 s. NotFound with a hint when there is no command.
func Propose(dir fs.FS, name string) (*spec.App, error) { return nil, errors.ErrUnsupported }
