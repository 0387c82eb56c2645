// Package dir is the store on a disk, a depot: a directory in OCI image layout.
//
//	oci-layout            the layout's version
//	index.json            names (tags) for manifests
//	blobs/sha256/HEX      blobs, each whole, verified and durable before its name appears; never changed afterwards
//	ingest/ID.part        an upload, with one writer at most; survives kill -9 and is resumed. HEX for a blob HEX
//	ingest/put-*          temporary files of Put
//	ingest/index.lock     held to change index.json
//	ingest/keep.lock      held to remove a blob that nobody seems to need, and to say that somebody does
//	claims/NAME           says that NAME too knows which blobs have to stay
//
// Any number of processes may have a depot open. The format is described in docs/format/depot.md.
//
// Failure guarded: a blob that a power cut left half written; two writers of one file; a collection
// that removes what is still needed.
package dir
