// Package client uses a network cache, ours or that of others: it uploads a file with its signed
// entry, lists the entries of a key that a trusted key signed, and downloads the blob of one.
//
// It believes nothing that a server says: an entry needs a signature of a key in the configuration,
// must belong to the key that was asked for, must not have expired, and the blob must be the one of
// the entry. Without trusted keys it refuses to start. The SHA-1 signatures of old clients count
// only where the caller says so.
//
// Failure guarded: a signed entry served under another key; an old one in place of a newer; a
// partial or wrong file under the final name.
package client
