// Package plain records what clients ask for without a protocol of its own: any URL, through the
// ordinary HTTP proxy protocol (RFC 9112 §3.2.2), and https through CONNECT (RFC 9110 §9.3.6).
//
// For https the proxy answers in the origin's place, with certificates of an authority
// that is created for one run and whose key never leaves the process. The environment
// tells the client to trust that authority and nothing else. The origin's own certificate
// is checked when the recorder fetches.
//
// A plain URL has no proof but the digest that the lock pins at the first fetch. POST is recorded
// by the digest of what was sent: that is how git fetches over https.
//
// A protocol may answer for everything below an address (Own), for
// clients that know only that address.
//
// Failure guarded: a fetch that escapes the lock because its tool speaks no protocol of ours.
package plain
