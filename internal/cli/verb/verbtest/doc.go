// Package verbtest shows tests what the flags and arguments of a verb come to.
//
// Failure guarded: a flag that parses, and sets nothing.
package verbtest
