// Package procfs reads the kernel's list of processes (proc(5)) and signals the very process that
// was read: never another that has got its number since.
//
// Linux only. Failure guarded: a signal to a stranger.
package procfs
