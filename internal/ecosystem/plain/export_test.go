package plain

import "overland/internal/record"

// Limits of a file of pins and of one of its lines, in bytes.
const (
	LineLimit = lineLimit
	PinsLimit = pinsLimit
)

// FixPackets is fixPackets.
var FixPackets = fixPackets

// Tell names a request that begins with head, of a client at host, to g.
func Tell(g record.Getter, host, head string) {
	(&unread{getter: g, host: host}).tell([]byte(head), "400 Bad Request")
}

// FixLFS is fixLFS.
var FixLFS = fixLFS
