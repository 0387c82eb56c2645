// Package netcache speaks the SlapOS network cache: shacache, blobs named by their sha512, and
// shadir, an append-only directory of signed entries. docs/format/shacache.md describes the
// protocol and what Overland adds to it.
//
//   - uploader: stores a blob, then puts [metadata, signature] under a key; holds a private key
//   - server: keeps blobs and entries; who may write is known by a TLS client certificate; its word is not trusted
//   - reader: asks for a key, believes the entries that a key it knows has signed, then gets the blob and hashes it
//
// Two signatures may be in an entry. The outer one, RSA PKCS#1 v1.5 over SHA-1, is what old
// clients read: it binds neither the key nor a time. The statement "x-overland" inside the
// metadata is an Ed25519 signature over all of the metadata, the entry's key, the blob's
// size and sha256, and an expiry.
//
// Failure guarded: one malformed entry that makes a key unreadable for old clients; a signed entry
// served under another key; a private key where certificates are expected.
package netcache
