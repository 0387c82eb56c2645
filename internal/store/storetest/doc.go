// Package storetest is the contract of package store as tests. Every implementation runs Run; each
// test of a caller may use the small helpers.
//
// Failure guarded: a second implementation that keeps the letter of the interfaces and not what
// callers rely on.
package storetest
