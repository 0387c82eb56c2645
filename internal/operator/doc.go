// Package operator is what an operator does: build, release, promote, approve, seal, inspect.
//
// An Operator works in one site directory, and opens once what all its calls share:
//
//   - depot/: the blobs, an OCI image layout
//   - trust/: the signed metadata, every version
//   - keys/: key files; root's are best moved elsewhere
//   - cache/: results and inputs of builds; may be removed at any time
//
// Operator.With gives a call, or the calls of one job, a passphrase prompt, progress and
// warnings of its own. Each verb leaves the directory complete, whatever interrupts it: blobs
// first, then their signed name. Several operators may work at once: a change of the metadata
// that was overtaken is made again.
//
// Failures guarded: a signed name whose blobs are not there; a job that signs with a
// key which another one unlocked.
package operator
