// Package mem is a store in memory, for tests that need blobs and no disk. It keeps the whole
// contract of package store but for what a disk is for: what it holds ends with the process.
//
// Failure guarded: a test that passes only because the depot happens to be a directory.
package mem
