// Package apk records and replays Alpine repositories: record's protocol "apk", for packages of format v2.
//
// Parties, keys and files:
//
//	repositories   the machine's /etc/apk/repositories: the only upstreams
//	keys           /etc/apk/keys, NAME.rsa.pub in PEM
//	APKINDEX       REPOSITORY/ARCH/APKINDEX.tar.gz: gzip members one after the other. The first ones hold .SIGN.RSA.NAME
//	               (SHA1), .SIGN.RSA256.NAME or .SIGN.RSA512.NAME: a signature of all bytes that follow them
//	package        REPOSITORY/ARCH/NAME-VERSION.apk: members of signatures, of control files and of data. The index has
//	               the SHA1 of the control member (C:) and the size; .PKGINFO, in that member, the SHA256 of the data
//
// Every byte is checked along that chain before it is stored. A package's proof names the index that lists it, an index's
// the key that signed it. No host is part of a key: another mirror replays the same lock.
//
// An index has no expiry. What it has is the time when it was made: one from before the one held is refused. What SHA1 is
// worth is Alpine's choice; the lock pins the SHA256 of every byte beside it.
//
// Failures guarded: a mirror or a network that alters, swaps or rolls back, a captive portal's page, a gzip bomb.
//
// Not served: packages without a data hash in .PKGINFO, format v3, DSA signatures.
package apk
