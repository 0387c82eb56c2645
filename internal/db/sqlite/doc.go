// Package sqlite opens a site's database in one file, by SQLite in Go (no
// cgo): for a site of one machine.
//
// A commit is on the disk when it returns (WAL, synchronous FULL). Several processes may have the
// file open; one writes at a time, the others wait up to 30 s. Beside the file are PATH-wal and
// PATH-shm while it is open, and PATH.lock, a flock taken to change the schema.
//
// Failure guarded: a schema change that is killed half-way, or that two processes make at once.
package sqlite
