// Package shared is the binary cache: what one machine has built, others of its kind take in place of building it.
// docs/format/shacache.md describes the entries.
//
//   - Results shares the results of overland build: one entry for each recipe and kind of machine, under the recipe's
//     digest. It is what build.Request.Shared asks.
//   - UploadTree and InstallTree share whole folders of software as slapgrid does, under the md5 of a URL, for any place.
//
// The cache is believed nothing: an entry counts when a known Ed25519 key signed it for this very
// key, a blob when it has the digests and the size of the entry, and where the kind of machine
// matters, only what says that it is for this kind. Failure guarded: a program for another libc,
// CPU or system; a development version that is frozen for everybody; an entry of an attacker in
// place of a build.
package shared
