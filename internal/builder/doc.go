// Package builder makes an application's artifacts for their platforms, and remembers what it made.
//
// Parties: a commit (source), a recipe (all that decides the bytes, as a Builder states it), a
// depot (where results are stored as blobs) and a cache of records recipe → blob. A warm build runs
// one or two git commands and reads one small record for each platform; nothing is checked out.
//
// Each kind of builder is a folder below this one (builder/golang): its Builder makes artifacts,
// and its Keys are its keys in overland.yaml. It may touch the site's cache folder and the
// depot; the repository is only read.
//
// Failures guarded: a result remembered under a recipe that did not make it; two
// processes doing the same work.
package builder
