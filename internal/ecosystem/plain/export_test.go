package plain

// Limits of a file of pins and of one of its lines, in bytes.
const (
	LineLimit = lineLimit
	PinsLimit = pinsLimit
)

// FixPackets is fixPackets.
var FixPackets = fixPackets
