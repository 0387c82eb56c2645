// Package npm records and replays npm registries: record's protocol "npm".
//
// Parties and documents:
//
//	registry   the one that npm's own configuration names, and one more per scope where it says so: the only upstreams
//	packument  everything about a package, NAME; npm asks for the short form (application/vnd.npm.install-v1+json),
//	           which is an entry of its own, NAME#install
//	manifest   one version, NAME/VERSION
//	tarball    NAME/-/FILE.tgz, immutable; its integrity (else its sha1) stands in the packument and the manifest
//	logins     in npm's own files and variables, by registry: sent there while recording, never stored and never locked
//
// A tarball is stored only when it is what a packument or manifest of the same registry says. "npm
// ci" asks for tarballs alone, so Protocol fetches the small manifest of each by itself, through
// the Getter that it is given. Documents are stored as the registry sent them.
//
// A session leaves npm's registries alone, answers at their addresses, and changes nothing. Tarballs
// elsewhere are plain URLs there. A cache has an address of its own: the documents that it serves
// name all tarballs below that.
//
// Failures guarded: a tarball that is not what the registry promised, a packument of another
// package, a web page in place of either, a hash by an algorithm that proves nothing; an address of
// ours in a file that npm writes.
//
// Not served: audits, searches, "npm login", publishing.
package npm
