package mirror

// What the tests know of the inside: where the files of a mirror are, and were.
const (
	FilesDir = filesDir
	OldFiles = oldFiles
)
