// Package trust decides what a signature allows: TUF metadata, the keys that sign it, and the fingerprint that a
// person compares.
//
// Parties, keys and files:
//
//   - The operator holds a Repository: a directory with every version of every role's metadata, and a KeyDir.
//     root keys (m of n, best kept offline) say which keys speak for the other top-level roles; the targets keys say
//     who may release (app/NAME) and who may promote (channel/NAME); the online key signs snapshot and timestamp.
//   - A node holds a Client: the root that was pinned, every later root, and the newest metadata it verified. It reads
//     from a MetadataSource (a site, a volume, a directory), of which it believes nothing.
//   - The fingerprint of a root version is "sha256:HEX" over the canonical form of its signed part.
//
// On the wire and in a Repository a role's file is N.NAME.json with NAME escaped as a URL path element
// ("3.app%2Fwallet.json"); timestamp.json has no number. docs/format/trust.md has the bytes.
//
// A volume and a site carry the files without reading them. The verified state machine is go-tuf's
// trustedmetadata; the stores around it are ours, because go-tuf's updater is stopped for good by a
// torn cached file, forgets root rotations and has no clock floor. Failure guarded: a node runs
// what its operator did not sign, or is talked back to what the operator has replaced.
package trust
