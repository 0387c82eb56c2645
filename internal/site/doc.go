// Package site is the operator's server. It opens what a site directory
// holds, once, and runs two lists:
//
//   - services (Name, Run): HTTPS for nodes, plain HTTP for the cache's clients, the timestamp that is signed again before
//     it expires, eviction and tidying; the first one that fails ends the site
//   - routes (prefix, role, handler): the faces of room server, each behind one guard that knows roles
//
// Its settings come from flags and site.yaml, the folders from package home. It
// touches the whole site directory.
//
// The site's certificate is its own: nodes know it by the sha256 of its key, which is in the
// site's URL, so a site works on a bare IP address with DNS dead and no clock.
// docs/format/site.md is the wire.
//
// Failure guarded: nodes that find a site half initialised, with an expired timestamp, or with
// another key than the one they have pinned.
package site
