// Package auth knows who may do what on a site: accounts, each known by a token or by the key of a client
// certificate, with rights by name.
//
//	token        26 letters and digits, 130 random bits, told once; the database has its sha256
//	certificate  the sha256 of its public key; TLS has proved that the client holds the private one
//	grant        an action and a pattern of names: "push staging/**"
//
// A token is as long as a key, so guessing one is hopeless and its plain sha256 is enough.
//
// The network cache still knows its writers by itself (netcache/policy.json).
//
// Failure guarded: a stolen database that lets its thief in; an account that can do more than it was given; a login
// that is wrong and taken for nobody's.
package auth
