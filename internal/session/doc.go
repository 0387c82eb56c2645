// Package session runs a command with the recorder as its only way to the network.
//
// Record: the command's environment points the tools, and through the proxy variables everything
// else, at a listener of this process. Replay: the same, in a network namespace of the command's
// own, in which only that listener exists:
//
//	this process ──starts──▶ itself as "inside", in a new network namespace (and user namespace, when not root)
//	             ◀─socket──  a listening socket created in there, on the loopback interface
//	             ──socket─▶  the environment, with that listener's address
//	                         inside starts the command; this process answers on the socket
//
// Record starts "inside" too, without a namespace: it is the reaper of the command. It adopts every
// orphan of the command, so that it can end everything when the session ends first. It learns of
// that through a pipe, even if this process is killed.
//
// Both give the command empty caches of its own, always at the same path for one lock:
// what a tool's cache already held would be missing in the lock, and a compiler may
// write the path into its output.
//
// Clients that prefer settings of their own to the proxy variables, or heed none, are led to the
// listener one by one (clients.go); so are the homes in which tools keep what they fetched
// (homes.go). The caller's files with certificates are extended.
//
// A session that is killed, or whose command fails, leaves a journal beside the caches: what it has
// proved is not fetched again. Verify proves a lock without running anything.
//
// Failures guarded: a replay that works only because there was a network or a warm cache; processes
// of a command that stay behind when somebody ends the session.
package session
