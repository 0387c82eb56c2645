// Package procfs reads the kernel's list of processes (proc(5)) and their sockets, and signals the
// very process that was read: never another that has got its number since. It also collects the
// children of this process.
//
// Linux only. Failure guarded: a signal to a stranger.
package procfs
