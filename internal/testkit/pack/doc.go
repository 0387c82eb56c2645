// Package pack makes small real packages, and serves them as registries do: Python wheels and source archives with a
// simple index, Rust crates with a sparse registry. What it makes has the same bytes each time.
//
// Failure guarded: a test of a registry's protocol that only its own idea of a package passes.
package pack
