package agent

import "syscall"

var errFull = syscall.ENOSPC
