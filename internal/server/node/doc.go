// Package node is the face of a site towards nodes: blobs and signed metadata
// over HTTP (docs/format/site.md).
//
// It parses, calls and renders; it decides nothing and needs no secret: what it sends
// is trusted for its digest or its signature. It is read-only. TLS, listening and
// shutting down are the caller's (site).
//
// Failure guarded: a slow client (4 KB/s is a legal link) is cut off by a deadline, or a dead or
// hostile one holds the server up.
package node
