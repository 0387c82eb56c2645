//go:build unix

package trust

import "syscall"

const nonblock = syscall.O_NONBLOCK
