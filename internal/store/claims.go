package store

// What names blobs of a depot besides its tags. Freeing space needs an answer from all of them.
const (
	ClaimLocks    = "locks"    // lock files
	ClaimCache    = "cache"    // a site's cache, and what its freezes stand on
	ClaimNetcache = "netcache" // a network cache
	ClaimRegistry = "registry" // repositories of images
)
