// Package digest names content.
//
// A blob is bytes named by their sha256: "sha256:" and 64 lower-case hex digits. The name is all that is trusted about
// the bytes, so every reader of bytes from outside goes through this room.
//
// It imports nothing of Overland. Failure guarded: bytes used under a name that is not theirs.
package digest
