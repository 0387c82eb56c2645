// Package apk records and replays Alpine repositories: record's protocol
// "apk", for packages of format v2.
//
// Parties, keys and files:
//
//	repositories   the machine's /etc/apk/repositories: the only upstreams
//	keys           /etc/apk/keys, NAME.rsa.pub in PEM
//	APKINDEX       REPOSITORY/ARCH/APKINDEX.tar.gz, signed by one of the keys
//	package        REPOSITORY/ARCH/NAME-VERSION.apk, listed in the index
//
// Every byte is checked along that chain, by the room alpine, before it is stored. A package's
// proof names the index that lists it, an index's the key that signed it. No host is part of a key:
// another mirror replays the same lock.
//
// An index has no expiry. What it has is the time when it was made: one from
// before the one held is refused.
//
// Failures guarded: a mirror or a network that alters, swaps or rolls
// back, a captive portal's page.
//
// Not served: what the room alpine does not read.
package apk
