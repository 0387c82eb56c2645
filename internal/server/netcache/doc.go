// Package netcache is the face of a network cache: the services shacache and shadir over HTTP, as
// docs/format/shacache.md describes them.
//
// It parses, calls and renders. What may be written, what is served and where it comes from is
// decided by package netcache/server; TLS, listening and shutting down are the caller's (site).
//
// Failure guarded: a key that a router cleans, decodes or redirects; a client of 2010 that sends
// its whole body before it reads, and sees a broken pipe in place of an error; a dead connection
// that holds up the next part of an upload.
package netcache
