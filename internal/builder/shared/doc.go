// Package shared is the binary cache: other machines of the same kind use what one machine has
// built. docs/format/shacache.md describes the entries.
//
//   - Results shares the results of overland build: one entry for each recipe and kind of machine, under the recipe's
//     digest. It is what builder.Request.Shared asks.
//   - UploadTree and InstallTree share whole folders of software as slapgrid does, under the md5 of a URL, for any place.
//
// The cache itself is not trusted: an entry counts when a known Ed25519 key signed it for this very
// key, a blob when it has the digests and the size of the entry, and where the kind of machine
// matters, only an entry that names this kind.
//
// Failures guarded: a program for another libc, CPU or system; a development version that is frozen
// for everybody; an attacker's entry in place of a build.
package shared
