// Package provenance says how each artifact of a release was built, and signs that: an in-toto statement with SLSA provenance 1,
// in a DSSE envelope, in a Sigstore bundle, which cosign verifies with a key and without a network.
//
//	statement   subject: the artifact; predicate: the commit, overland.yaml, the lock and all that it names, who built
//	envelope    the statement and one signature by a key that may release the application (role app/NAME)
//	bundle      the envelope as cosign and others read it: one file, or one layer of a manifest
//	manifest    of an OCI artifact whose subject is the artifact's own manifest: registries list it as a referrer
//
// The statement depends on the release, its lock and the version of Overland alone; it does not say when a build ran. ed25519
// signatures are deterministic, so the same release gives the same bundle.
//
// Sources: in-toto attestation framework 1, SLSA 1.0 provenance, DSSE 1.0.2, Sigstore bundle 0.3, OCI image specification 1.1.
//
// Failures guarded: a statement about other bytes than those that were released, or by a key that may not release.
package provenance
