// Package border makes a network namespace from which nothing can be reached but one listener, and
// names what wants to leave it.
//
//	inside   Make: in a new network namespace it brings the loopback interface up, and makes a pair of
//	         interfaces with the default route to one of them; it returns a listener and the Wire
//	wire     what comes out at the other interface: each packet that wants to leave
//	outside  Watch: reads the wire, notes who wants where, and says no, so that nobody waits
//
// A name server's questions are answered with "no such name". What the command serves itself on the
// loopback interface works, and is nobody's business.
//
// The border lies on the network alone: sockets in the file system lead where they always do, and
// root, who has all rights of the machine, can enter other namespaces.
//
// It may change the network namespace that it is called in.
//
// Failure guarded: a recording that works because a tool went past the recorder, and so a replay
// that misses what nobody recorded.
package border
