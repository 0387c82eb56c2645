// Package archive reads tars and ZIPs that somebody else made, within bounds.
//
//   - Tar counts members and the bytes of the tar itself, headers and the rest behind its end included. What it hands
//     out is there byte for byte: sparse members, which are zeros that nobody sent, are refused.
//   - Zip bounds the list of files, which is read first and held in memory.
//
// What the names of members may be, and their kinds, is decided by who unpacks them: it depends on where they go.
//
// Failures guarded: bombs (a small file that is terabytes), members or headers without end.
package archive
