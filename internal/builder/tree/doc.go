// Package tree carries a folder of installed software from the machine that built it to others,
// where it may be installed in any folder.
//
//   - Pack writes a folder as a tar.gz with one top folder, the same bytes for the same files. A file that holds the path it
//     was built at is changed where that is safe (links, RPATH, first lines of Python), and else refused by name.
//   - Stage.Unpack reads such an archive, from anybody, into a staging folder of its own that nothing in it can leave, and
//     moves the whole into place.
//
// Failures guarded: software that runs only where it was built; an archive that writes outside of
// its folder, fills the disk, or is half unpacked after a crash.
package tree
