package runtime

import (
	"context"

	"overland/internal/appfile"
)

// What the tests know of the inside: limits, names of old logs, one try of one check, and one look
// into a log.
const (
	BodyLimit   = bodyLimit
	OutputLimit = outputLimit
	TailLimit   = tailLimit
)

var Numbered = numbered

// Title is c in a few words.
func Title(c appfile.Check) string { return c.Title() }

// Try tries c once.
func Try(ctx context.Context, rt Runtime, inst Instance, c appfile.Check, logStart int64) error {
	return newProbe(rt, inst, c, logStart).once(ctx)
}

// ReadLog returns what reads on in the log at path from off, -1 = its end.
func ReadLog(path string, off int64) func(buf []byte) (int, error) {
	return newLogReader(path, off).read
}
