// Package builder makes an application's artifacts for their platforms, and remembers what it made.
//
// Parties: a commit (source), a recipe (what a Builder says decides the bytes), a depot (where results are kept as
// blobs) and a cache of records recipe → blob. A warm build runs one or two git commands and reads one small record
// for each platform; nothing is checked out.
//
// Each kind of builder is a folder below this one (build/golang) behind Builder. Failure guarded: a
// result remembered under a recipe that did not make it, and two processes doing the same work.
package builder
