// Package registry keeps container images in a site's depot for the clients of the OCI distribution API:
// repositories of blobs, manifests, tags and referrers.
//
//	depot     the bytes, one copy of each: a repository only notes that it has a blob
//	site.db   what is in which repository, what each tag stands for, other names of blobs, uploads that go on
//	Registry  reads and changes both; it knows no HTTP and no accounts (server/registry does)
//
// A client may name a blob by its sha512. That name is an alias of the blob's sha256: the depot has
// one name for each blob, and the database the other one.
//
// Order of a push: the bytes are in the depot, then the database says so, then Store.Touch keeps a collection that
// began before from removing them.
//
// What holds a manifest: a tag; an index that is held; the manifest that it is about, when that is held; a release or a
// lock file that names it. One that nothing holds goes some time after it was last pushed, tagged or asked for by its
// digest, and its layers with it. A blob to which no manifest points, and an upload, live a day.
//
// Sources: OCI distribution specification 1.1, image specification 1.1.
//
// Failures guarded: a blob that is read from a repository which does not have it; a manifest under a digest that
// is not its own; a tag that moves where tags must not; a push that was cut off and leaves its bytes for good; a part of an image that is
// collected while the rest is held.
package registry
