package host

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os/exec"
	"strings"

	"overland/internal/errs"
)

// ServiceName is what the service is called in every service manager.
const ServiceName = "overland-agent"

// marker is the first comment of every service file that install wrote. A file without it is somebody else's.
const marker = "# Made by \"overland-agent install\"; removed by \"overland-agent uninstall\"."

// Command runs a program of the service manager and returns what it printed; a test replaces it.
type Command func(ctx context.Context, name string, args ...string) (string, error)

// RunCommand is the real Command. The error ends with the last line of the output.
func RunCommand(ctx context.Context, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		err = errs.E(errs.Internal, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lines[len(lines)-1]))
	}
	return out.String(), err
}

// file is a service file: what is to be at path.
type file struct {
	path string
	text string
	mode fs.FileMode
}

// manager is one service manager. running and enabled ask; the others change.
type manager interface {
	file(dir string) file
	running(ctx context.Context) bool
	enabled(ctx context.Context) bool
	reload(ctx context.Context) error // after the file changed
	enable(ctx context.Context) error
	start(ctx context.Context) error
	restart(ctx context.Context) error
	stop(ctx context.Context) error
	disable(ctx context.Context) error
}
