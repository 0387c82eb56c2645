// Package source reads an application's repository: a commit, its tree, its
// version, and a clean checkout of it.
//
// Parties: the git binary as a careful subprocess, and a repository that may come from a stranger's
// stick. Nothing in that repository is run, whoever owns the folder: hooks, fsmonitor, filters,
// aliases, pagers, lazy fetches and every configuration outside of it are off. A checkout is
// written blob by blob from git's object store, so attributes (export-ignore, export-subst,
// autocrlf, smudge) cannot change a byte between two machines.
//
// Failures guarded: building the files of a folder instead of those of the commit;
// a version whose count is wrong.
package source
