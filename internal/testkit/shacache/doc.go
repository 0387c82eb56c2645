// Package shacache is a network cache for tests: the real server on the loopback address, and the
// configurations of machines that use it. Tests only.
package shacache
