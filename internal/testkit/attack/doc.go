// Package attack is a publisher of TUF metadata in memory that does what an attacker who holds the
// network, a mirror or some of the keys can do: roll back, freeze, fast-forward, mix and match,
// send endless data, sign with too few or with revoked keys. It is itself well-behaved until a test
// changes a field, so each attack is one visible difference.
//
// It imports nothing of Overland, so that trust's own tests may use it. Failure guarded: a check
// that never fails because nobody tried.
package attack
