// Package golang is the recorder's side of the Go module proxy protocol (go help goproxy) and,
// below /sumdb/, of the checksum database that a proxy passes on (go.dev/design/25530-sumdb).
//
// Parties: the go command, which is told GOPROXY=BASE; the proxies of the machine's own GOPROXY;
// the checksum database of its GOSUMDB. A toolchain is a module like any other.
//
// Before a go.mod or a module is stored, its h1 hash, the one of go.sum, is computed, and
// compared with the checksum database where that is on. A recording (Late) compares after the go
// command has the bytes, which checks them in the same way. What the database contradicts is in
// no lock, and the recording fails.
//
// The signed tree that lookups come with grows by the minute, and the tiles that a client asks for
// depend on it. So one tree is frozen for a session and served with every lookup: then a replay
// asks for the same tiles, in whatever order.
//
// Failure guarded: a proxy's error page or another module's content locked as a module; a replay
// that misses because the checksum database has grown.
package golang
