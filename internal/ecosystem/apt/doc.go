// Package apt records and replays Debian archives: record's protocol "apt".
//
// Parties, keys and files:
//
//	sources    the machine's own list of archives (sources.list and sources.list.d, both formats): the only upstreams
//	keyrings   the OpenPGP keys that the sources name (Signed-By), else apt's trusted.gpg.d
//	InRelease  signed by one of those keys; lists every index of a suite
//	index      Packages or Sources, by name or by digest (by-hash)
//	package    a .deb, or a part of a source package; listed in an index
//
// Every byte is checked along that chain, by the room deb, before it is stored, and the lock says
// how: a package's proof names the index that lists it, an index's proof names the InRelease, and
// that one's proof is the fingerprint of the key. A request below an archive's mount is
// NAME/dists/… or NAME/pool/…, where NAME comes from the path of the archive's URI: no host is part
// of a key, so another mirror replays the same lock.
//
// Failures guarded: a mirror or a network that alters, swaps (another suite's InRelease), rolls
// back or freezes (Valid-Until) an archive, a captive portal's page in place of a package.
//
// A cache that serves it for long (Options.Cache) gives an index as the content that its InRelease
// lists (Resolve), and also what an InRelease of before lists, for machines with lists of
// yesterday. To apt it is a proxy (Below).
//
// A replay does without the machine's sources: the lock says which were recorded (LockedSources).
//
// In a session the sources keep their URIs, and apt comes through its own proxy setting. Release
// with Release.gpg, sources that apt trusts without a signature, pdiffs and by-hash under MD5 and
// SHA1 are not spoken: a session leaves them to plain URLs.
package apt
