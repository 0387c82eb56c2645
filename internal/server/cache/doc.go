// Package cache is the HTTP face of a site's cache. Tools on other machines use it below the
// name of their protocol or as their proxy, also as of a freeze; other sites ask it what the
// cache holds. It also prints the lines that point a machine's tools at it. See
// docs/how-to/cache.md and docs/format/site.md.
//
// It parses, calls and renders. What the answer is, and whether it is
// proved, is up to internal/cache.
//
// Failure guarded: a cache that serves as an open proxy to the web; a name in a path
// that is mistaken for a freeze.
package cache
