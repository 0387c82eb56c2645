// Package pack makes small real packages, and serves them as registries do: Python wheels and
// source archives with a simple index, Rust crates with a sparse registry. Those have the same
// bytes each time. And it makes the signatures of a Debian archive.
//
// Failure guarded: a test of a registry's protocol that only its own idea of a package passes.
package pack
