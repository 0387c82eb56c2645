// Package changes says what differs between two releases, or two files: packages, files, sizes, and what services and images
// ask for (user, capabilities, ports). It reads what was built, each side where it lies: a depot, a volume, a file.
//
// Nothing is unpacked to a disk, and artifacts with the same digest are not read. What others packed is read within bounds.
//
// Failure guarded: a change that nobody sees because it is in a layer below, or is one of mode, owner or capability alone.
package changes
