package store

// Who names blobs of a depot by other means than its tags. Whoever frees space in it has to have asked them all.
const (
	ClaimLocks    = "locks"    // lock files
	ClaimCache    = "cache"    // a site's cache, and what its freezes stand on
	ClaimNetcache = "netcache" // a network cache
)
