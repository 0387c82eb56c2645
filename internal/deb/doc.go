// Package deb reads the formats of a Debian archive and verifies the chain that signs them.
//
// Parties, keys and files:
//
//	keyring    OpenPGP public keys, armoured or not: what apt's Signed-By names, else its trusted.gpg.d
//	InRelease  clear-signed by one of those keys; lists size and digest of every index of a suite
//	index      Packages or Sources, plain, .gz, .bz2 or .xz; lists size and sha256 of every package
//	package    a .deb, or a part of a source package
//
// A caller walks the chain from the root: VerifyInRelease and ParseRelease, then Release.Find and
// File.Check for an index, then ReadIndex, Index.Find and File.Check for a package. Nothing here
// opens a connection or remembers anything; streams are read once, so that a package can be
// hashed on its way to its place.
//
// Sources: deb822(5), deb(5), sources.list(5), the Debian repository format
// (DebianRepository/Format), RFC 9580.
//
// Failures guarded: an archive or a mirror that alters, swaps (another suite's
// InRelease) or freezes (Valid-Until) what it serves; a signature with a weak hash;
// memory, for every parser has limits.
//
// Not read: Release with a detached Release.gpg, digests weaker than SHA256,
// indexes packed with zstd or lzma.
package deb
