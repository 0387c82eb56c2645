// Package release is what a node is told to run: immutable releases, and channels that name them.
//
// Parties, keys and files:
//
//   - A release is an OCI index in a depot: one release document (JSON, type Release) and one OCI manifest for each
//     artifact and platform, whose first layer is the raw program. Equal input gives equal bytes.
//   - "app/wallet/r412.…" is the signed statement that a release exists; a holder of a key of the role app/wallet may
//     make it. A release never changes: the same name with other content is a conflict.
//   - "channel/live/wallet" is the signed statement that the channel runs that release; a holder of a key of the role
//     channel/live may make it. It counts only when app/wallet has signed the same digest under the same version.
//
// Write and Read turn a Release into blobs and back; Publish, Promote, PromoteFrom, Rollback and
// Show are the operator's side; Current is the node's. The formats are in docs/format/release.md.
//
// Touches only the depot and repository it is given. Failures guarded: a release that changes after
// it was tested, a promotion of something that was never released, a document that names a file
// outside its folder.
package release
