// Package recording is both ends of a recorder in tests: an origin that somebody may sit in front
// of, and a client that takes what is served. Tests only.
package recording
