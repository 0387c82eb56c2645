// Package golang builds Go programs: the builder key "go".
//
// The toolchain is pinned: it is the module golang.org/toolchain, fetched by the machine's own Go
// command and verified by the Go checksum database. Which release that is, the commit says, so
// it never runs with the caller's rights:
//
//	machine's Go   fetches toolchain and modules, with the caller's network and logins. It gets names,
//	               versions and the text of go.sum, and no other file of the commit.
//	commit's Go    lists the packages and compiles them, in cells that see the checkout, the toolchain
//	               and the module cache, and reach nothing. When the module cache lacks something, one
//	               more cell reaches a module proxy of this process's, which has what go.sum names.
//
// An application's cache begins as a copy of the standard library, which is compiled once, of the
// toolchain alone.
//
// It compiles in an empty environment, without cgo, with -trimpath and no version-control stamp,
// so the bytes depend on the commit, the platform and the toolchain, and on nothing of this machine.
// In a cell already (a replay), or with isolation none, the commit's Go fetches for itself.
//
// Failures guarded: two machines that make different bytes from one commit; a commit that has an old
// Go with a known hole run as the operator.
package golang
