// Package digest names content.
//
// A blob is bytes named by their sha256: "sha256:" and 64 lower-case hex digits. Only the name is
// trusted, so all bytes from outside are read through this room.
//
// It imports nothing of Overland. Failure guarded: bytes used under a name that is not theirs.
package digest
