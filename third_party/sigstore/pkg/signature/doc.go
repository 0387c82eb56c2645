// Package signature is a stand-in, written for Overland, for the part of sigstore's package of that name that go-tuf's
// metadata calls: verifying one ed25519, ECDSA or RSA-PSS signature with the standard library.
//
// The real one brings protobuf, genproto and a container registry's name parser into every program
// that verifies TUF metadata: 3.3 MB of the agent, measured, none of it ever called. It
// imports nothing but the standard library. Failure guarded: an agent too large for its link.
package signature
