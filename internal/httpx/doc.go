// Package httpx is what sites say to one another about a request that passes through several of them.
//
//   - Via (RFC 9110 §7.6.3) names every site that a request came through. A site that finds itself there, or one that it
//     asks itself, or too many, answers from what it holds: two sites that point at each other neither hang nor recurse.
//   - A client that sends Overland-Progress gets interim answers, status 102, while its answer is fetched from further
//     away; each says how many bytes have come. What rises is progress: a client waits for hours at 4 KB/s, and not at
//     all when nothing moves.
//
// docs/format/site.md has the wire. Failure guarded: a ring of sites that wait for each other; a
// near copy that is given up because it is being fetched.
package httpx
