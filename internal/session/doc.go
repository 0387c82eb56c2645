// Package session runs a command with the recorder as its only way to the network.
//
// Record: the command's environment points go, and through the proxy variables everything else, at a listener of this
// process. Replay: the same, in a network namespace of the command's own, in which only that listener exists:
//
//	this process ──starts──▶ itself as "inside", in a new network namespace (and user namespace, when not root)
//	             ◀─socket──  a listening socket made in there, on the loopback interface
//	             ──socket─▶  the environment, with that listener's address
//	                         inside starts the command; this process answers on the socket
//
// Record starts "inside" too, without a namespace: it is the reaper of the command, the parent of all that loses its own,
// so that it can end everything when the session ends first. It has a pipe to hear that: also when this process is killed.
//
// Both give the command caches of its own, empty, always at the same place for one lock: what a tool's cache holds
// already would be missing in the lock, and a compiler may write the place into what it makes.
//
// A session that is killed, or whose command fails, leaves a journal beside the caches: what it has proved is not fetched
// again. Verify proves a lock without running anything.
//
// Failures guarded: a replay that works only because the network, or a warm cache, was there; what
// a command started staying behind when somebody ends the session.
package session
