// Package admission decides who gets a place when places are short: a connection of a listener, a
// request among those that are served at once, a turn to have something fetched.
//
//   - Client is the party that is counted: an IPv4 address, the /64 of an IPv6 one
//   - Places are given to whoever comes while there are any. When there are none, the client that has
//     the most makes room: its silent connections first, then anybody's idle ones, then its slowest
//   - Listener is a net.Listener with Places; it also ends connections whose client takes next to nothing
//   - Requests are Places for requests, Turns a number of things that one client does at once
//   - Calm is a log in which nobody writes line after line
//
// Nobody is limited while nobody else waits: 10,000 nodes behind one address are served as before.
// Nothing here is linear in the number of connections but a look at the active ones four times a minute.
//
// Failure guarded: one client that holds every place, by saying nothing, by reading nothing or by
// a trickle, and everybody else is refused.
package admission
