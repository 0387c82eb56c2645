// Package progress says how far work is, and writes sizes, rates, durations and counts for people.
//
// An Event travels unchanged from the room that does the work to the person who waits: through
// callbacks, and as JSON over the agent's control socket. A Bar shows events; it is the only
// thing that draws on a terminal.
//
// The agent links this room, so it holds nothing but the standard library and printer. Failure
// guarded: two faces that show the same bytes as different numbers.
package progress
