// Package vm boots a Debian kernel under QEMU with an initramfs of ours and runs one program in it:
// for what this machine's kernel is not set up for, such as a pure cgroup v2.
//
// The kernel is Debian's cloud kernel, fetched by apt and unpacked below .cache of the checkout; the
// rest of the machine is busybox and the program. Nothing is installed and no disk is written. The
// virtual machine has no network, and one processor: two cost half as much again in a TCG machine.
//
// A boot hangs when it has used 30 s of processor time, or has done nothing for 30 s. The clock
// alone does not count: beside other tests a machine may wait long for a processor.
//
// Failure guarded: isolation that is proved only on the kind of machine that the tests run on.
package vm
