// Package store says how blobs are kept: bytes named by their digest, tags that name manifests, and
// uploads, which are blobs on their way in. It declares the interfaces with what follows from them
// alone: walks over OCI documents, chunk lists, the index of tags. store/dir keeps a depot on a
// disk, store/mem one in memory, and storetest is the contract that every implementation runs. Only
// the code that composes a program names an implementation.
//
// The interfaces hold what an object store can do too. What needs a file system (hard links, times,
// claims, collection) are methods of dir.Store; a room that uses one of them declares it: see
// docs/decisions/0018-one-store-many-places.md.
//
// Failure guarded: a blob that is half there, or there under a name that is not its own; an error
// that looks like "not there"; two writers of one upload.
package store
