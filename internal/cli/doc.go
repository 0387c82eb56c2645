// Package cli is the operator's command line: the program overland.
//
// One file for each verb: flags fill an Options struct, then one call into a room below, then printing. stdout is the
// result and nothing else; everything for the eye goes to stderr. --json is an API that only grows. Exit codes are the
// table of room errs; errors read "overland: what · hint: what to do".
//
// The pages docs/reference/cli.md and the man pages come from the same tree as the help.
//
// Failure guarded: a verb that prints a result it did not reach, or prompts where nobody can
// answer.
package cli
