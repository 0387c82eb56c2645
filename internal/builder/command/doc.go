// Package command builds whatever a command of the repository makes: the builder key "command".
//
// The command runs in a writable copy of the commit, in an environment of its own, with a
// network that serves what the commit's overland.lock names and nothing else (package session).
// Within a session that somebody else began, the command runs in that one, as it is: so
// overland record -- overland build locks what it fetches. Its one output file is the result; a
// file that may be executed is a program.
//
// The machine's tools, C library and CPU are not in the lock. A command that lets the place or the
// time of the build, or the order of a folder's entries, into its output is not reproducible;
// overland build --rebuild shows it.
//
// Failures guarded: a result that used something nobody recorded; an output that is
// not the file that it seems to be.
package command
