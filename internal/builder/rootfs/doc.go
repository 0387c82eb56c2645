// Package rootfs makes a root file system from the packages of a distribution: the builder "rootfs".
//
// Parties and files:
//
//	base       "debian/trixie": an archive by the name that room ecosystem/apt gives it, and a suite; or
//	           "alpine/v3.22": the repositories that room ecosystem/apk calls alpine-v3.22-main and -community
//	indexes    read in a recording only: InRelease (its signature is verified), then Packages; or APKINDEX
//	packages   chosen by room deb/resolve or alpine/resolve, read by deb or alpine; in overland.lock with their proofs
//	result     one tar, not compressed: entries sorted by name, all that programs need of the scripts done
//
// In a recording the packages are chosen from the indexes and fetched through the session, so that
// lock and depot have them. Without one the lock is all there is: they are chosen again among the packages that
// it holds for the base, by what these say of themselves, which gives the same set and spares the indexes.
//
// No maintainer script runs: room deb/maintscript reads them, on the tree, and what it does not know is refused by
// name. A few packages whose scripts need their own programs have an action instead (actions.go), and so have
// those of Alpine (alpineactions.go); another one of Alpine that has a script is refused.
//
// The tar is written as a stream, from a spool on the disk: memory holds names, not files. Nothing is
// unpacked, so no right is needed and no link can lead anywhere.
//
// Failures guarded: a package that is not what the lock says, names that leave the root or lie below a link, two
// packages with one file, devices, bombs.
package rootfs
