// Package registry is the HTTP face of a site's registry: the API of the OCI distribution specification 1.1, for
// docker, podman, skopeo, containerd and their like. The two wishes of the specification's next version that the
// conformance suite knows are served too: the query parameters tag (a manifest that is pushed by digest) and
// digest-algorithm.
//
// It parses, calls and renders. What is in which repository is up to internal/registry, who may do what to internal/auth.
//
// Failures guarded: a repository name that climbs; a client that is told of, or given, what it may not pull; bytes
// that are appended to an upload at the wrong place.
package registry
