// Package sitedir opens the site directory for a verb: with progress, warnings
// and passphrases on its terminal.
//
// Failure guarded: a mistyped --home that makes a second site directory, in which nothing is found.
package sitedir
