// Package cache is the HTTP face of a site's cache: for the tools of other machines, each below the name of its protocol
// or through the cache as its proxy, also as of a freeze; and for other sites, which ask what the cache holds. It prints
// the lines that point a machine's tools at it, too. docs/how-to/cache.md and docs/format/site.md.
//
// It parses, calls and renders: what is answered, and whether it is proved, is package cache's.
//
// Failure guarded: a cache that is everybody's way to the web; a name in a path that is taken for a freeze.
package cache
