// Package sysinfo reads what kind of machine this is: the system and its release, the CPU and its
// level, libc and its version. It runs no program and needs no compiler: it reads os-release,
// libc's own file, and asks the CPU.
//
// Failure guarded: a program that was compiled for one machine given to another that cannot run it,
// because what could not be read was guessed.
package sysinfo
