//go:build !linux

package confine

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Process is a confined command that runs.
type Process struct{ Applied Applied }

// Start returns an *UnableError.
func Start(context.Context, Spec) (*Process, error) {
	return nil, &UnableError{"namespaces", "run it on Linux, or in a virtual machine with Linux", errors.ErrUnsupported}
}

// System returns nothing: nothing can be confined here.
func System() ([]Mount, error) { return nil, nil }

// Wait is never called: there is no Process.
func (*Process) Wait() (Exit, error) { return Exit{}, errors.ErrUnsupported }

// Held reports false: nothing is confined here.
func Held() bool { return false }

// Main ends the program: there is no keeper here.
func Main() {
	fmt.Fprintln(os.Stderr, "this verb is for Overland itself, on Linux")
	os.Exit(2)
}

// Group is a control group.
type Group struct{}
