// Package sbom says what a release is made of: the Go modules in its programs, and the packages in its root file systems and
// images, each with a package URL. It writes that as CycloneDX 1.6 or SPDX 2.3.
//
//	programs            what the Go linker left in them
//	root file systems   /etc/os-release, dpkg's status or status.d, apk's installed
//	images              the same, of all layers one on the other; and each program in them
//
// What is said depends on the release alone: the document's time is that of the commit, its number the release's digest, so that
// two people write equal bytes. Nothing is asked of a network. A file that belongs to no package and is no Go program is counted and not listed.
//
// Sources: CycloneDX 1.6 (ECMA-424), SPDX 2.3, package URL specification 1.0.
//
// Failures guarded: a list that leaves out what an upper layer brought, or has what one removed; a bomb.
package sbom
