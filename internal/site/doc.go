// Package site is the operator's server: it composes the depot, the trust directory and the api over HTTPS.
//
// A site is a directory: depot/ (blobs), trust/ (metadata), keys/ (signing keys) and tls/ (cert.pem, key.pem); cache/,
// netcache/ and upstream/ are for what it keeps of others. Its certificate is its own: nodes know it by the sha256 of its
// key, which is in the site's URL, so a site works on a bare IP address with DNS dead and no clock. docs/format/site.md is
// the wire.
//
// Failure guarded: nodes find a site that is half initialised, lets its timestamp expire, or
// changed its key unasked.
package site
