// Package operator is what an operator does: commits in, releases, promotions and volumes out.
//
// A site directory holds it all:
//
//   - depot/: the blobs, an OCI image layout
//   - trust/: the signed metadata, every version
//   - keys/: key files; root's are best moved elsewhere
//   - cache/: results and inputs of builds; may be removed at any time
//
// Each method is one verb of the command line and leaves the directory complete, whatever interrupts it: blobs first,
// then their signed name. Several operators may work at once; signing takes trust's lock.
//
// Failure guarded: a signed name whose blobs are not there.
package operator
