// Package mirror is the way from a site to its upstream sites, the near ones first: what the site
// lacks it fetches through from them, verifies, and keeps.
//
//   - blobs: into the site's depot with room fetch, once for all who ask at the same time, resumed after a restart
//   - signed metadata: through trust's mirror, whole and verified; what was verified is served while nobody answers
//   - answers of the cache: the site that has one says which blob it is, and the blob comes as any other
//
// Nothing that an upstream site says is believed: a blob is its digest, metadata its signatures, an
// answer of the cache the proof of its ecosystem.
//
// Failure guarded: an upstream that is dead, slow, cut, lies or answers with a login page; a ring
// of sites; a node that is told something older than what it could have had from here before.
package mirror
