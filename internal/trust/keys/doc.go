// Package keys is a directory of ed25519 key files: NAME.key (private, mode 0600, a passphrase if
// the owner wants one) and NAME.pub, and retired/ for keys that were rotated away.
//
// Private halves are written before public ones, so that a crash between them leaves a key that can
// be repaired, never a public key that nobody holds. Failures guarded: a private key that others
// may read, or that lies where a public one belongs, is refused.
package keys
