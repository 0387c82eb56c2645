// Package image writes container images into a depot, so that equal content is equal bytes.
//
//	layer     a tar of files, packed by the frozen encoder (package deflate); shared by all images that hold it
//	config    how a container of it runs, and which layers it has
//	manifest  config and layers of one platform
//	index     the manifests of the platforms that were asked for, and nothing else
//
// Nothing here unpacks a layer, runs a program or asks a registry. A layer streams: neither it nor a
// file of it is ever in memory whole.
//
// Sources: OCI image specification 1.1; for Save also docker's image specification 1.2, which docker load reads.
//
// Failures guarded: two builds of one commit with two digests; a layer whose members leave its root, hide one
// another or would run as files of other users; an index that offers a platform which nobody built.
package image
