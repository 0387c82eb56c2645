// Package agent makes one machine run what its channel says.
//
// It takes volumes, directories and sites (a Source); verifies the whole chain from the pinned root to each program;
// stages a generation beside what runs; switches by the protocol of package node; proves the services with their
// self-tests; and marks the generation good or goes back and says why. The running agent answers on run/agent.sock.
//
// Below its directory it writes config.json, depot/, trust/, gen/, log/, run/, upgrade/, volumes/
// and node's files, and nowhere else. Failures guarded: a node that runs what nobody signed, that
// stops serving because something new was offered or a source went away, or that waits for a person
// after a crash.
package agent
