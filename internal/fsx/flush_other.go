//go:build !linux

package fsx

import "syscall"

// flushAll makes everything on every disk durable: there is no narrower call.
func flushAll(string) error { return syscall.Sync() }
