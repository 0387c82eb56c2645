// Package signature verifies one ed25519, ECDSA or RSA-PSS signature with the standard library, and
// reads and writes public keys in PEM. go-tuf calls it for every signature of TUF metadata, through
// third_party/sigstore-stand-in.
//
// It stands at the top because that module, which is not inside this one, imports it. It imports
// nothing but the standard library: the agent carries it.
//
// Sources: the key types and schemes of the TUF specification, RFC 8032 (ed25519), RFC
// 8017 (RSA-PSS), RFC 7468 (PEM).
//
// Failures guarded: a signature that is not of the message by the key; an agent too
// large for its link (decision 0006).
package signature
