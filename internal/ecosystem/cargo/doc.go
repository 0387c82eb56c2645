// Package cargo records and replays Rust registries of the sparse
// protocol: record's protocol "cargo".
//
// Parties and documents:
//
//	registry     the one that cargo uses for crates-io: built in, or a replacement from the user's configuration.
//	             Discover finds it: it starts cargo once behind a proxy of ours, and the first request names it
//	config.json  says where crates are ("dl"); stored as it came, and served with our own address and nothing else
//	index        a file for each crate, NAME, with a line of JSON for each version and its sha256 ("cksum")
//	crate        NAME/NAME-VERSION.crate, immutable; stored only when the index has its cksum
//
// A session does not change cargo's configuration: its proxy recognises the registry by its
// address. So crates are unpacked at the same path below CARGO_HOME each time, and a
// compiler that writes the path into its output writes the same; and ours need not override
// the file that names the registry.
//
// Failures guarded: a crate that is not what the index has, an index of another crate, a version
// with two checksums, a web page in place of any of them.
//
// Not served: registries of the git protocol (cargo before 1.70 has that one built in), those
// that want a token, and registries beside crates-io ([registries]): these are left to the
// session's proxy. Searches, publishing.
package cargo
