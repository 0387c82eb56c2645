// Package trust holds the words that both sides of a signature share: roles and their limits, the
// form of TUF metadata, keys, and the fingerprint that a person compares.
//
// Parties, keys and files:
//
//   - The operator holds a repository.Repository: every version of every role's metadata, and keys. root keys (m of n,
//     best kept offline) say which keys speak for the other top-level roles; the targets keys say who may release
//     (app/NAME) and who may promote (channel/NAME); the online key signs snapshot and timestamp.
//   - A node holds a client.Client: the root that was pinned, every later root, and the newest metadata it verified. It
//     reads from a MetadataSource (a site, a volume, a directory), and believes nothing of it.
//   - A near site holds a mirror.Mirror: verified metadata of an operator elsewhere, handed on byte for byte.
//   - The fingerprint of a root version is "sha256:HEX" over the canonical form of its signed part.
//
// On the wire and in a repository a role's file is N.NAME.json with NAME escaped as a URL
// path element ("3.app%2Fwallet.json"); timestamp.json has no number.
// docs/format/trust.md has the bytes.
//
// Parsing checks the form only: go-tuf panics on some input that JSON allows. Failure guarded: two
// rooms that read the same bytes differently.
package trust
