// Package badlink makes networks that fail, crawl, censor and lie. For tests only.
//
//   - Link is a proxy between a client and a server, transparent to TLS: it cuts, goes silent, slows down, refuses
//     connections, delays, flips bytes, and counts every byte it moves.
//   - Origin is a site (docs/format/site.md) that misbehaves in one chosen way: a captive portal, an ignored Range, a
//     wrong length, an endless body.
//   - Memory is a network in memory, for testing/synctest: with Link and Origin on it a silence of 30 s takes no time.
//   - Net is a set of network namespaces on one bridge, with no route anywhere.
//
// Everything ends with Close; nothing outlives a failed test. Failure guarded: a claim about bad
// networks that was never tried on one.
package badlink
