// Package store keeps blobs on a disk, in a depot: a directory in OCI image layout.
//
//	oci-layout            the layout's version
//	index.json            names (tags) for manifests
//	blobs/sha256/HEX      blobs, each whole, verified and durable before its name appears; never changed afterwards
//	ingest/HEX.part       a blob on its way in, with one writer at most; survives kill -9 and is resumed
//	ingest/put-*          temporary files of Put
//	ingest/index.lock     taken to change index.json
//	ingest/keep.lock      taken to remove a blob that nobody seems to need, and to say that somebody does
//
// Any number of processes may have a depot open. The format is described in docs/format/depot.md.
//
// Failure guarded: a blob that is half there, or there under a name that is not its own; two
// writers of one file; a collection that removes what is still needed.
package store
