package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// diskSize is what the measurements may write, in bytes; the image is sparse.
const diskSize = 24 << 30

// ownDisk mounts an ext4 with a journal, as machines have it, and returns where. The file
// system of a virtual machine may have none, and then looks at every inode of what was
// deleted in the last minutes before it makes a file: whatever runs after something was
// removed takes three times as long.
func ownDisk(ctx context.Context) (dir string, free func() error, err error) {
	tmp, err := os.MkdirTemp("", "overland-bench-")
	if err != nil {
		return "", nil, err
	}
	image, dir := filepath.Join(tmp, "image"), filepath.Join(tmp, "disk")
	free = func() error { return os.RemoveAll(tmp) }
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, diskSize), os.Mkdir(dir, 0o755)); err != nil {
		return "", nil, errors.Join(err, free())
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", nil, errors.Join(fmt.Errorf("%s: %w: %s(only root has a disk of its own; give a folder with -dir)", args[0], err, out), free())
		}
	}
	return dir, func() error {
		// Not ctx: it has ended when the run was interrupted. --lazy, for daemons of
		// the run may be on their way out.
		out, err := exec.CommandContext(context.WithoutCancel(ctx), "umount", "--lazy", dir).CombinedOutput()
		if err != nil {
			return fmt.Errorf("umount %s: %w: %s", dir, err, out)
		}
		return os.RemoveAll(tmp)
	}, nil
}
