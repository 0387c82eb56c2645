// Package client is a node's side of trust: the root that was pinned, and the newest
// metadata that was verified since.
//
// The directory of a Client holds 1.root.json and every later root, timestamp.json, snapshot.json,
// targets.json and roles/; seen.a and seen.b remember twice what must not be forgotten when a power
// cut tears those. Whatever a source does, nothing older, unsigned, expired or longer than its
// limit is accepted, and an unchanged source costs no write.
//
// The verified state machine is go-tuf's trustedmetadata; the files around it are ours, because
// go-tuf's updater is stopped for good by a torn cached file, forgets root rotations and has no
// clock floor (decision 0003). Failure guarded: a node runs what its operator did not sign, or is
// talked back to what the operator has replaced.
package client
