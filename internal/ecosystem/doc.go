// Package ecosystem is the table of all ecosystems, which everything that serves all of them
// reads: a session, a site's cache, the command that points machines at it. A new one is a
// folder below, and a line in Table.
//
// Failure guarded: an ecosystem that is recorded but not served, or the other way round, because
// one of several lists lacks it.
package ecosystem
