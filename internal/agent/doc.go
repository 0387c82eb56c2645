// Package agent makes one machine run what its channel says.
//
// Its rooms, of which each knows only those below it:
//
//	agent        puts them together; who may change the node when; hands over to another agent program
//	follow       finds sources: sites, watched directories    control  the socket on which clients ask
//	stage        brings what a source says onto the disk, verified
//	switchover   makes a generation run, proves it, goes back
//	node         what the machine remembers, and the protocol of a switch on its disk
//
// host, beside them, is what the machine's own service manager and the agent's supervisor see.
//
// Below its directory the agent writes config.json, depot/, trust/, gen/, log/, run/, upgrade/,
// volumes/ (the services' data) and node's files, and nowhere else. Failures guarded: a node that
// runs what nobody signed, that stops serving because something new was offered or a source went
// away, or that waits for a person after a crash.
package agent
