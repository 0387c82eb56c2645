package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"overland/internal/environ"
)

// ServiceName is what the service is called in every service manager.
const ServiceName = "overland-agent"

// marker is the first comment of every service file that install wrote. A file
// without it is somebody else's.
const marker = "# Made by \"overland-agent install\"; removed by \"overland-agent uninstall\"."

// Command runs a program of the service manager and returns what it printed; a test replaces it.
type Command func(ctx context.Context, name string, args ...string) (string, error)

// RunCommand is the real Command. The error ends with the last line of the output.
func RunCommand(ctx context.Context, name string, args ...string) (string, error) {
	const longest = 64 << 10
	// Not a pipe: supervise-daemon keeps its outputs open for as long as it lives, and a
	// pipe's reader would wait for it.
	fd, err := unix.MemfdCreate("output", unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	out := os.NewFile(uintptr(fd), "output")
	defer out.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = environ.Child()
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	text, readErr := io.ReadAll(io.NewSectionReader(out, 0, longest))
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lines[len(lines)-1])
	}
	return string(text), errors.Join(err, readErr)
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
	boot() (link, to string) // what makes the service start at boot, as enable makes it; "" = nothing does
	running(ctx context.Context) bool
	enabled(ctx context.Context) bool
	reload(ctx context.Context) error // after the file changed
	enable(ctx context.Context) error
	start(ctx context.Context) error
	restart(ctx context.Context) error
	stop(ctx context.Context) error
	disable(ctx context.Context) error
}
