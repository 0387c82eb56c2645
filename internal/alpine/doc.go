// Package alpine reads the formats of an Alpine repository, packages of format v2, and
// verifies the chain that signs them.
//
// Parties, keys and files:
//
//	keys       a folder of RSA public keys, NAME.rsa.pub in PEM: /etc/apk/keys
//	APKINDEX   APKINDEX.tar.gz: gzip members one after the other. The first ones hold .SIGN.RSA.NAME (SHA1),
//	           .SIGN.RSA256.NAME or .SIGN.RSA512.NAME: a signature of all bytes that follow them
//	package    NAME-VERSION.apk: members of signatures, of control files and of data. The index has the SHA1 of the
//	           control member (C:) and the size; .PKGINFO, in that member, has the SHA256 of the data
//
// A caller walks the chain from the root: Verify and ReadIndex for an index, ReadPackage and
// Package.Check for a package. Who takes one apart reads ReadInfos and ReadArchive, once and in order. Nothing here
// opens a connection or remembers anything.
//
// Sources: apk(5) and apk-package(5) of apk-tools, and what apk-tools 2.14 and abuild-sign write.
//
// What SHA1 is worth is Alpine's choice; a lock pins the SHA256 of every byte beside it.
//
// Failures guarded: a repository or a mirror that alters or swaps what it serves; a gzip bomb;
// memory, for every parser has limits.
//
// Not read: packages without a data hash in .PKGINFO, format v3, DSA signatures.
package alpine
