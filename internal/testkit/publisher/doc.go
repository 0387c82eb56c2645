// Package publisher is the other side of a node, for tests: somebody with keys,
// releases, channels and volumes.
//
// Everything is real (repository.Repository, release, volume); only the
// programs are a few bytes. Tests only.
package publisher
