// Package golang builds Go programs: the builder key "go".
//
// The toolchain is pinned: it is the module golang.org/toolchain, fetched by the machine's own Go
// command and verified by the Go checksum database. A build is two steps. Fetch runs with the
// caller's network settings and brings the modules that the program needs, each verified against
// go.sum. Compile runs in an empty environment with the network switched off, without cgo, with
// -trimpath and no version-control stamp, so the bytes depend on the commit, the platform and the
// toolchain, and on nothing of this machine.
//
// Failure guarded: two machines that make different bytes from one commit.
package golang
