// Package holdings is what a site directory keeps and for whom: its releases, what each takes and
// what needs it, the removal of one, and the collection of what nothing needs.
//
// What names blobs of the depot: signed releases and those that wait for signatures, tags, lock
// files (those in locks/, and those noted by Note), the cache's index, the network cache, the registry of images. Whoever
// wants a blob that is in the depot already notes that first and touches the blob then, so a
// collection runs beside builds, recordings and a site (decision 0079).
//
// Failure guarded: space that is freed of what somebody needs.
package holdings
