// Package tree carries a folder of installed software from the machine that built it to others, where it may stand at
// any other place.
//
//   - Pack writes a folder as a tar.gz with one top folder, the same bytes for the same files. Whatever holds the path
//     that it was built at is changed where that is safe (links, RPATH, first lines of Python), and else refused by name.
//   - Stage.Unpack reads such an archive of anybody's into a staging folder of its own, where nothing in it can reach outside,
//     and moves the whole into place.
//
// Failure guarded: software that runs only where it was built; an archive that writes outside of
// its folder, fills the disk, or is half there after a crash.
package tree
