// Package volume is the one file that holds everything an install needs.
//
// A volume is a POSIX-sh program (the stub), a ZIP archive, and an OCI image layout, all at once:
// `sh FILE install` runs it, unzip opens it, and every blob in it that is not compressed is a byte
// range that is read in place. The same content gives the same bytes. The format is
// described in docs/format/volume.md.
//
// The reader derives the only layout that the listed entries can have, and refuses a
// file that differs from it in any byte; so there are no two ways to read one file,
// and no bytes without a meaning.
//
// The room has more than 2,000 lines because one form is written and read here, whole: whoever changes
// a field of it changes the program at its front, the writer, the reader and the parts together.
//
// Failure guarded: a carried file that is damaged, cut short or forged.
package volume
