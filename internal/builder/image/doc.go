// Package image makes container images of an application's artifacts and files of its commit: the builder "image".
//
//	base       an artifact that is a root file system, one tar (builder rootfs, or a command's); none = empty
//	files      of the commit in one layer, each artifact in a layer of its own: what changes moves alone
//	result     the manifest of one platform's image; its config and layers are in the depot (room image)
//
// Files are dated 1970: what is the same in two commits is the same layer. The image carries the commit's time.
// Nothing of the repository runs, nothing is fetched, and no file outside of the checkout is read, whatever links in it say.
//
// A base is packed once: a note below the builder's cache says which layer it became.
//
// Failures guarded: a link of the commit that takes in a file of the machine; a base packed again for each commit; a
// layer that a collection has taken, offered as there.
package image
