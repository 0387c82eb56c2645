// Package fsx is the only way Overland changes a disk.
//
// Everything written survives kill -9 and a power cut: temp file → write → fsync → rename → fsync
// of the directory. (Measured on ext4: rename without fsync leaves a file of zero bytes after a
// power cut; fsync and rename without an fsync of the directory can lose the new name.)
//
// Every change goes through an FS, whose Before hook lets a test stop, fail or photograph the disk
// at each operation. Reading is bounded by ReadFile, Read and Limit: what is longer than its limit
// is an error, never cut silently.
//
// Names that others may have made are opened with Open and its kin, which open nothing but regular
// files, and never wait.
//
// It imports nothing of Overland but errs.
package fsx
