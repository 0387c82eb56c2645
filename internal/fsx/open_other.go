//go:build unix && !linux

package fsx

import (
	"os"
	"syscall"
)

func open(path string, links bool) (*os.File, error) {
	look, nofollow := os.Stat, 0
	if !links {
		look, nofollow = os.Lstat, syscall.O_NOFOLLOW
	}
	info, err := look(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, irregular(path, info.Mode())
	}
	return openAgain(path, nofollow, info)
}
