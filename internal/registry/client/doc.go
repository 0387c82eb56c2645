// Package client takes images of a depot to a registry: a site's own, or any other that speaks the OCI
// distribution specification.
//
//	NAME:VERSION              the index of all platforms, which is named last
//	NAME:VERSION-arm32v6      the image of one platform, for those who choose for themselves
//
// Logins are those of docker and podman: what `docker login` has written. Layers go up as they lie in the depot, so the
// registry has the digests that were signed; one that it has already is not sent again.
//
// Failure guarded: a name that leads to half of an image; a password in an error.
package client
