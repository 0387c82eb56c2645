// Package xz unpacks xz files: format 1.2.0, any number of streams and blocks, filter LZMA2, checks none, CRC32, CRC64 and
// SHA-256. Other filters and checks are refused by name. It packs nothing.
//
//   - reader.go: streams, blocks, index, and their checks
//   - lzma2.go: the chunks of a block, and the window of what came out of them
//   - lzma.go: the range decoder; all of the time is spent here
//
// The dictionary that a file asks for is memory only as far as it is filled, and never more than its reader allows. What is
// unpacked is not limited: that is the caller's.
//
// Why not a module: decision 0137. TestAsTheToolPacks, FuzzReader and the module that was used before hold it to others.
//
// Failure guarded: indexes and packages that are changed, cut, or ask for all memory.
package xz
