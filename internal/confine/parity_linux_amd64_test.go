package confine_test

import "golang.org/x/sys/unix"

const forkCall, vforkCall = unix.SYS_FORK, unix.SYS_VFORK
