// Package zstd packs bytes as Zstandard (RFC 8878), with an encoder whose output never changes: what was packed today is packed to
// the same bytes in ten years.
//
// It is the encoder of the module that room deflate pins, for layers of images whose overland.yaml asks for it. TestFrozen holds
// its output: whoever moves the module changes bytes that are named by their digest, see decision 0132. What unpacks is room archive.
//
// Failure guarded: the same layer, packed twice, under two digests.
package zstd
