// Package cargo records and replays Rust registries of the sparse protocol: record's protocol "cargo".
//
// Parties and documents:
//
//	registry     the one that cargo takes for crates-io: built in, or what a person's configuration puts in its place.
//	             cargo itself is asked (Discover): it is started once behind a proxy of ours, and what it asks for first
//	             is the registry
//	config.json  says where crates are ("dl"); stored as it came, and served with our own address and nothing else
//	index        a file for each crate, NAME, with a line of JSON for each version and its sha256 ("cksum")
//	crate        NAME/NAME-VERSION.crate, immutable; stored only when the index has its cksum
//
// In a session cargo is not configured otherwise than on the machine: the session's proxy knows the registry by its
// address. So crates are unpacked at the same place below CARGO_HOME each time, and a compiler that writes the place
// into what it makes writes the same; and whichever file of configuration names the registry, ours need not beat it.
//
// Failures guarded: a crate that is not what the index has, an index of another crate, a version with two checksums, a web
// page in place of any of them.
//
// Not served: registries of the git protocol (cargo before 1.70 has that one built in), those that want a token, and
// registries beside crates-io ([registries]): these are left to the session's proxy. Searches, publishing.
package cargo
