// Command demo shows the whole of Overland on real input: a public Go server, from a git
// commit to three running machines that have no network, through an upgrade and a
// release that is broken on purpose.
//
// With --full it goes on with the proof of the recorder: demo/proof.
//
// It only runs the programs that a user would run; nothing of Overland is linked but the throwaway
// machines of internal/testkit. "make demo" builds those programs first. Everything it writes is
// below .demo, and goes at the end (--keep leaves it).
package main
