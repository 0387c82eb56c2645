// Package deflate packs bytes in DEFLATE (RFC 1951), with an encoder whose output never changes: what
// was packed today is packed to the same bytes in ten years.
//
// The encoder of the standard library gives other bytes with other releases of Go, so a module is
// pinned for nothing else, and TestFrozen holds its output. Whoever moves the module changes bytes
// that are named by their digest: see decision 0065. What unpacks volumes is compress/flate; Unpacker is for
// what is whole in memory, and agrees with it or refuses.
//
// Failure guarded: the same content, sealed twice, as two different files.
package deflate
