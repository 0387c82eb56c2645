package fsx

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushAll makes everything on the disk of dir durable: one call for any number of files.
func flushAll(dir string) error {
	d, err := os.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(d.Fd())))
}
