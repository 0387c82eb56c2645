// Package origin asks where a thing is published for it, over HTTP:
// one request, whole, or an error.
//
//   - a transfer that breaks is tried again, and resumed where it stopped when the origin gave a validator for that, or the
//     caller can prove the whole; then also by a later process. Attempts that get no further than those before are counted
//   - a Flow is read while it comes: nothing of it is proved
//   - silence ends an attempt, not a deadline: 4 KB/s is a legal link
//   - a web page, another range, more bytes than were wanted: nothing of it is handed on
//   - other sites among the origins are told the way of a request (httpx.Via), and say while they fetch themselves
//
// What the bytes are is for the caller to say: there is no knowledge of an ecosystem
// here, and no store. A blob that many sources have, each trusted for nothing, is
// fetched by package fetch instead.
//
// Failure guarded: an origin that is slow, cut, silent, or a captive portal; a password of an
// address in a log; a redirect out of TLS.
package origin
