package proof

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// nowhere runs overland where there is nothing: in a network namespace without an interface that is
// up, with an empty HOME, without settings. It returns what the program prints.
func (p *proof) nowhere(ctx context.Context, args ...string) (string, error) {
	p.Command("(no network, no home) overland " + strings.Join(args, " "))
	dir, err := os.MkdirTemp(p.Dir, "nowhere-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	// The shell makes sure of it: one line of /proc/net/route is the heading.
	cmd := exec.CommandContext(ctx, "sh", append([]string{
		"-c", `test "$(wc -l </proc/net/route)" -le 1 || exit 99; exec "$0" "$@"`, p.Overland,
	}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
	cmd.Dir = dir
	return p.run(cmd)
}
