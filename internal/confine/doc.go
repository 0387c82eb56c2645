// Package confine starts a process that sees what it is given and nothing else: the one room for
// isolation. A build, a service and a container are settings of one Spec.
//
//	parent   Start: clones itself into new namespaces, sends the Spec, waits for "started"
//	keeper   Main: process 1 in there. It makes the private root, gives up its rights and starts
//	         the command; it collects orphans, passes signals on, and everything ends with it
//	command  what the Spec names, with its user, limits and system-call filter
//
// A service's keeper outlives the parent. It makes a starter, which becomes the service, and starts
// itself anew without its rights: see docs/decisions/0066.
//
// The program that calls Start is started again as the keeper, with Verb as its first argument: its
// main must hand over to Main then.
//
// What the machine cannot do is refused as *UnableError, with its cause and a remedy;
// what was done is told in Applied. Nothing is left out silently. Linux only;
// elsewhere Start returns *UnableError.
//
// The room has more than 2,000 lines because parent, keeper and control groups are two ends of one
// Spec: what one end is asked for, the other does or names. The filter of system calls is a room of
// its own.
//
// It may make and remove control groups below its own, and mounts in the namespaces that it makes.
// Failure guarded: a build script, or a service, that reads keys, other people's files or the
// network, outlives its end, or takes the machine's memory and processes for itself.
package confine
