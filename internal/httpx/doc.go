// Package httpx is HTTP as Overland speaks it: what every client and every face of it shares.
//
//   - Via (RFC 9110 §7.6.3) names every site that a request came through. A site that finds itself there, or one of its own
//     upstreams, or too many, answers from what it holds: two sites that point at each other neither hang nor recurse.
//   - A client that sends Overland-Progress gets interim answers, status 102, while its answer is fetched from further
//     away; each says how many bytes have come. A number that rises is progress: a client waits for hours at 4 KB/s, and
//     not at all when nothing moves.
//   - Watchdog ends a transfer by silence, not by a deadline; IdleWriter and IdleBody do so for a server.
//   - Transport is the one maker of connections to others: each client has its own, an HTTP/2 connection is asked whether it
//     lives, and after a silence nobody is sent over the connections of before.
//   - ParseRange and Part read a Content-Range, IsPage knows a captive portal.
//   - Secret, MaskQuery and Redacted are the one place that knows what in an address is a secret.
//   - Errors is the one writer of errors: a kind becomes a status, and a body in the form that the protocol's clients need.
//
// docs/format/site.md describes the wire. Failure guarded: a ring of sites that wait for each
// other; a near copy that is taken for dead while it is still downloading; one dead connection
// that swallows every retry; a part of something else
// appended to what is there; a secret in a log.
package httpx
