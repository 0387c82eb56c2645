// Package filter puts the field's default filter of system calls on a process: moby's profile, with
// a table of numbers for each CPU. Linux only.
//
// The tables are generated (tools/seccomp); the program that the kernel runs is assembled when it is
// installed, because it depends on the kernel and on the capabilities that stay.
// Failure guarded: a call that reaches a part of the kernel which no build and no service needs.
package filter
