// Package source reads an application's repository: a commit, its tree, its version, and a clean checkout of it.
//
// Parties: the git binary as a careful subprocess, and a repository that may come from a stranger's stick. Nothing in
// that repository is run: hooks, fsmonitor, filters, aliases, pagers, lazy fetches and every configuration outside it
// are off, whoever owns the folder. A checkout is written blob by blob from git's object store, so attributes
// (export-ignore, export-subst, autocrlf, smudge) cannot change a byte between two machines.
//
// Failure guarded: building what is in somebody's folder instead of what is in the commit, or a
// version whose count lies.
package source
