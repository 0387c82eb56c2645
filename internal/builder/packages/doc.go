// Package packages makes a distribution's packages of an application's artifacts and files of its commit: the builder
// "package".
//
//	files      artifacts, and files of the commit, at their places
//	services   a unit of systemd each, from the commit or written here
//	users      made by a script, with a folder of their own
//	result     the package, whole: NAME_VERSION_ARCHITECTURE.deb (room deb writes it)
//
// Everything is dated as the commit, and its version comes from the commit alone: the same commit gives the same bytes,
// and a later one a higher version. Nothing of the repository runs; maintainer scripts are written here, and hold no
// text that the repository could write a command into.
//
// Failures guarded: a later revision that package managers take for an older one; two platforms' programs under one
// architecture; a link of the commit that takes in a file of the machine; an edited configuration that is overwritten.
package packages
