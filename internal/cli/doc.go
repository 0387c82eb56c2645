// Package cli is the operator's command line: the program overland.
//
// The verbs live below, one package for each noun: flags fill an options struct, and a run
// function makes one call into a room below and prints. This package is what holds them together:
// the tree with its groups and help, the reference and manual pages that come from the same tree,
// exit codes (the table of room errs), and errors, which read "overland: what · hint: what to do".
// --json is an API that only grows.
//
// Failure guarded: help, reference and manual pages that disagree with what the verbs do.
package cli
