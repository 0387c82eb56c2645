// Package oci is record's protocol for images of other registries, which a site mirrors: manifests and blobs, over the
// pull half of the OCI distribution API.
//
//	hub.example/library/app/manifests/v1           what a tag stands for now: it can change
//	hub.example/library/app/manifests/sha256:…     never changes: its name proves it
//	hub.example/library/app/blobs/sha256:…
//	hub.example/library/app/tags/list?last=v1      the tags behind v1: they can change
//	hub.example/library/app/referrers/sha256:…     what is about a manifest: it can change
//
// The first part of a key is the name of a registry that was configured, and only those are asked, each at the one address
// that was configured for it. A registry that wants a pass says where it is given. A login is sent to the registry that it is
// for, and to where that gives passes, over TLS, and to nobody else.
//
// A tag that is held is answered at once, and looked up again for those who come later: who pulls waits for no registry
// that is down.
//
// Failure guarded: a client, an image or a pass that leads to a host which nobody configured; bytes that are not what
// they are called; a manifest that no client takes; a login that is sent elsewhere.
package oci
