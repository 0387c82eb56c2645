// Package vm boots a Debian kernel under QEMU with an initramfs of ours and runs one program in it:
// for what this machine's kernel is not set up for, such as a pure cgroup v2.
//
// The kernel is Debian's cloud kernel, fetched by apt and unpacked below .cache of the checkout;
// the rest of the machine is busybox and the program. Nothing is installed and no disk is written.
// The virtual machine has no network.
//
// Failure guarded: isolation that is proved only on the kind of machine that the tests run on.
package vm
