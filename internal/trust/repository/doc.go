// Package repository is an operator's side of trust: it signs who may sign, what is
// released and what channels run.
//
// Parties and words:
//
//   - Files keep the metadata (Dir: a directory), Keys sign (trust/keys: key files). Each is an interface with a contract
//     in trust/trusttest; a Files may be an object store or a database.
//   - A State is what the metadata says at one moment. Read returns the newest, and opens nothing when it is known.
//   - A change (tx) is made on a State in memory, signed, and committed if the files are still at that State's revision;
//     a writer that lost makes it again on the newer one (decision 0027).
//   - A change that lacks signatures is Staged. Its Payload can be signed elsewhere, and AddSignature takes the signature.
//
// The room has more than 2,000 lines because a change needs them all: which roles it
// touches, who signs them, what is staged, and what nodes will accept are one decision, made
// on one State and committed at once.
//
// timestamp.json is the commit mark: a change that is cut off leaves the old state, and the next
// change replaces its leftovers. Failures guarded: a state that nodes cannot follow, a signature
// that is lost, a promotion that overwrites another one.
package repository
