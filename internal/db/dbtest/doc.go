// Package dbtest is the suite of every query of package db. Each engine
// runs it on itself, in one line:
//
//	func TestQueries(t *testing.T) { dbtest.Run(t, open) }
//
// Failure guarded: SQL that one engine takes and another does not, or reads otherwise.
package dbtest
