// Package maintscript runs the maintainer scripts of Debian packages inside this process, on a root file system
// that is being made: no program starts, and nothing of this machine is seen.
//
//	script    what the package has, in sh or bash; read by an interpreter (mvdan.cc/sh)
//	commands  what scripts call, from cp to update-alternatives: each is done here, in Go, on the root
//	root      the files, by their names in it; whoever makes it keeps it (Root)
//
// A command that is not done here, an option of one that is not, or a script in another language is an error that
// names it: nothing is passed over in silence. A command that the root would not have either is "not found", as it
// would be there; dpkg's, coreutils' and the others that every Debian machine has are done whether the root has them or not.
//
// ldconfig is done once, after all scripts: the cache of the dynamic linker, byte for byte as glibc's own writes it.
//
// Commands that speak to what runs (a service manager, a kernel) do nothing, for nothing runs. Programs that compile
// caches which are made again when they are missing (py3compile) do nothing either.
//
// Sources: Debian policy, chapters 6 and 10; deb-postinst(5), update-alternatives(1), dpkg-divert(1), debconf-devel(7).
// The test that runs the same scripts for real, in a root that mmdebstrap makes, is that of builder/rootfs.
//
// Failures guarded: a script that reads this machine; one that never ends; a step that was left out unnoticed.
package maintscript
